package console

import (
	"net/http"
	"time"

	"latchkey/gateway/account"
)

const (
	maxForm = 16 << 10 // bytes of a form: the longest has a passkey in it
	maxCall = 64 << 10 // and of what a script sends
	// writeWait is how long the browser may take for what comes next, where that is more than a
	// page: a download, a stream of events.
	writeWait = 30 * time.Second
)

// guarded is what holds for every request, before it is known who asks.
func (c *Console) guarded(next http.Handler) http.Handler {
	cross := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxCall)
		harden(w.Header(), r.Host)
		switch {
		case !c.knowsHost(r.Host):
			refuse(w, http.StatusMisdirectedRequest,
				"This is not the name of this console. Use the address that latchkey serve prints.")
		case cross.Check(r) != nil || foreign(r) || elsewhere(r):
			refuse(w, http.StatusForbidden,
				"Another site asked for this. Open the console's own pages instead.")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// harden says what a browser may do with anything that comes from host. What a browser keeps about
// localhost would hold for every other program of its machine too, and nobody is between.
func harden(h http.Header, host string) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "+
		"manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=(), publickey-credentials-get=(self), publickey-credentials-create=(self)")
	if account.NameOf(host) != "localhost" {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
	h.Set("Cache-Control", "no-store")
}

// knowsHost tells whether the console is known by the host that a request names.
func (c *Console) knowsHost(host string) bool { return account.KnowsHost(c.cfg.Hosts, host) }

// foreign tells of a request that another site's page made and that is not somebody following a
// link: in a frame, as a picture, by a script. Browsers say so in Fetch Metadata; what is no
// browser does not, and has no cookie either.
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

// elsewhere tells of a request whose page is not from here: another host, another port, or the same
// host without TLS, whose answers anybody between could have written. A browser that is told to
// send no referrer says "null", and then says by Fetch Metadata where the page is from.
func elsewhere(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" || origin == "null" && r.Header.Get("Sec-Fetch-Site") == "same-origin" {
		return false
	}
	return origin != "https://"+r.Host
}

// refuse answers without a page: whoever sees this did not come by the console's own pages.
func refuse(w http.ResponseWriter, status int, text string) { http.Error(w, text, status) }
