package console

import (
	"net/http"
	"time"

	"latchkey/gateway/account"
)

const (
	maxForm = 16 << 10 // bytes of a form: the longest has a passkey in it
	maxCall = 64 << 10 // and of what a script sends
	// writeWait is how long the browser may take to read the next part of an answer that is longer
	// than a page: a download, a stream of events.
	writeWait = 30 * time.Second
)

// guardHandler checks every request before we know who makes it.
func (c *Console) guardHandler(next http.Handler) http.Handler {
	cross := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxCall)
		harden(w.Header(), r.Host)
		switch {
		case !c.knowsHost(r.Host):
			refuseRequest(w, http.StatusMisdirectedRequest,
				"This is not the name of this console. Use the address that latchkey serve prints.")
		case cross.Check(r) != nil || foreign(r) || elsewhere(r):
			refuseRequest(w, http.StatusForbidden,
				"Another site asked for this. Open the console's own pages instead.")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// harden sets the headers that restrict what a browser may do with answers from host. It sets no
// HSTS for localhost: that would affect every other program on the machine, and nobody is in
// between.
func harden(h http.Header, host string) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; "+
		"img-src 'self' data:; connect-src 'self'; "+
		"manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=(), "+
		"publickey-credentials-get=(self), publickey-credentials-create=(self)")
	if account.NameOf(host) != "localhost" {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
	h.Set("Cache-Control", "no-store")
}

// knowsHost tells whether the host of a request is one of the console's names.
func (c *Console) knowsHost(host string) bool { return account.KnowsHost(c.cfg.Hosts, host) }

// foreign tells whether another site's page made a request in a frame, as a picture or by a script.
// A followed link is not foreign. Browsers say so in Fetch Metadata; other clients do not, but have
// no cookie either.
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

// elsewhere tells whether the page behind a request has another origin: another host, another port,
// or the same host without TLS, where anybody in between could have written the page. A browser
// that must not send a referrer sends "null"; then Fetch Metadata says where the page comes from.
func elsewhere(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" || origin == "null" && r.Header.Get("Sec-Fetch-Site") == "same-origin" {
		return false
	}
	return origin != "https://"+r.Host
}

// refuseRequest answers with plain text. The console's own pages never lead here.
func refuseRequest(w http.ResponseWriter, status int, text string) { http.Error(w, text, status) }
