package console

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"
)

const (
	maxForm = 16 << 10 // bytes of a form: the longest has a passkey in it
	maxCall = 64 << 10 // and of what a script sends
	// writeWait is how long the browser may take for what comes next, where that is more than a page: a download, a stream of events.
	writeWait = 30 * time.Second
)

// guarded is what holds for every request, before it is known who asks.
func (c *Console) guarded(next http.Handler) http.Handler {
	cross := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxCall)
		harden(w.Header(), r.Host)
		switch {
		case !c.ours(r.Host):
			refuse(w, http.StatusMisdirectedRequest, "This is not the name of this console. Use the address that latchkey serve prints.")
		case cross.Check(r) != nil || foreign(r) || elsewhere(r):
			refuse(w, http.StatusForbidden, "Another site asked for this. Open the console's own pages instead.")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// harden says what a browser may do with anything that comes from host. What a browser keeps about localhost would hold for every other program
// of its machine too, and nobody is between.
func harden(h http.Header, host string) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "+
		"manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=(), publickey-credentials-get=(self), publickey-credentials-create=(self)")
	if nameOf(host) != "localhost" {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
	h.Set("Cache-Control", "no-store")
}

// ours tells whether the console is known by the host that a request names. An address is nobody's name, so no foreign name can be behind it.
func (c *Console) ours(host string) bool {
	if len(c.cfg.Hosts) == 0 {
		return true
	}
	host = nameOf(host)
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	_, above, _ := strings.Cut(host, ".")
	return slices.Contains(c.cfg.Hosts, host) || above != "" && slices.Contains(c.cfg.Hosts, "*."+above)
}

// nameOf is a request's host without its port.
func nameOf(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.ToLower(strings.Trim(host, "[]"))
}

// foreign tells of a request that another site's page made and that is not somebody following a link: in a frame, as a picture, by a script.
// Browsers say so in Fetch Metadata; what is no browser does not, and has no cookie either.
func foreign(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Dest") {
	case "iframe", "frame", "embed", "object", "fencedframe":
		return true
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "cross-site", "same-site":
		return r.Header.Get("Sec-Fetch-Mode") != "navigate" || r.Method != http.MethodGet
	}
	return false
}

// elsewhere tells of a request whose page is not from here: another host, another port, or the same host without TLS, whose answers
// anybody between could have written. A browser that is told to send no referrer says "null", and then says by Fetch Metadata where the
// page is from.
func elsewhere(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" || origin == "null" && r.Header.Get("Sec-Fetch-Site") == "same-origin" {
		return false
	}
	return origin != "https://"+r.Host
}

// refuse answers without a page: whoever sees this did not come by the console's own pages.
func refuse(w http.ResponseWriter, status int, text string) { http.Error(w, text, status) }

// local tells whether somebody is on a network that was named as local. A request that came through a proxy is not, wherever the proxy is.
func (c *Console) local(r *http.Request) bool {
	for name := range r.Header {
		if name == "Forwarded" || strings.HasPrefix(name, "X-Forwarded-") || name == "X-Real-Ip" || name == "Via" {
			return false
		}
	}
	addr, ok := peer(r)
	return ok && slices.ContainsFunc(c.cfg.Local, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// peer is the address at the other end of the TCP connection.
func peer(r *http.Request) (netip.Addr, bool) {
	a, err := netip.ParseAddrPort(r.RemoteAddr)
	return a.Addr().Unmap().WithZone(""), err == nil
}

// from names the other end for events and for lock-outs: an IPv6 network counts as one, since whoever has it has all its addresses.
func from(r *http.Request) string { return network(r, 32, 64) }

// block names the block of addresses around the other end: what one customer of a provider may have a lot of.
func block(r *http.Request) string { return network(r, 24, 48) }

// network is so much of the address at the other end.
func network(r *http.Request, bits4, bits6 int) string {
	a, ok := peer(r)
	if !ok {
		return "an unknown address"
	}
	bits := bits4
	if a.Is6() {
		bits = bits6
	}
	p, err := a.Prefix(bits)
	if err != nil || bits == a.BitLen() {
		return a.String()
	}
	return p.String()
}
