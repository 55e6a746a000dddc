package account

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/limit"
)

// The website is a client of the admin API like any other. A visitor is somebody who calls the API
// through the website. With each request the website passes on the visitor's cookies, or token,
// unchanged. In headers it also says where the visitor comes from.
const (
	addrHeader    = "Latchkey-Visitor-Address" // host:port at the other end of the visitor's connection
	hostHeader    = "Latchkey-Visitor-Host"    // the host that the visitor's request names, with its port
	proxiedHeader = "Latchkey-Visitor-Proxied" // through a proxy, so the visitor may be anywhere
)

// cookieNames are the cookies that we read and set.
var cookieNames = []string{SessionCookie, browserCookie}

// Describe writes into the headers of a request to the admin API which visitor made the request in.
// cookies are the visitor's: those that came with in, or those that were set since.
func Describe(out http.Header, in *http.Request, cookies []*http.Cookie) {
	out.Set(addrHeader, in.RemoteAddr)
	out.Set(hostHeader, in.Host)
	out.Del(proxiedHeader)
	for name := range in.Header {
		if name == "Forwarded" || strings.HasPrefix(name, "X-Forwarded-") || name == "X-Real-Ip" ||
			name == "Via" {
			out.Set(proxiedHeader, "yes")
		}
	}
	var pairs []string
	for _, c := range cookies {
		if slices.Contains(cookieNames, c.Name) {
			pairs = append(pairs, c.Name+"="+c.Value)
		}
	}
	if len(pairs) > 0 {
		out.Set("Cookie", strings.Join(pairs, "; "))
	}
}

// Bearer returns the token that a script has sent, and false if the text cannot be a token.
func Bearer(r *http.Request) (text string, ok bool) {
	text, ok = strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return text, ok && len(text) <= maxTokenText
}

// HasCookie tells whether a request has the cookie of a sign-in, which may have ended.
func HasCookie(r *http.Request) (value string, ok bool) {
	c, err := r.Cookie(SessionCookie)
	if err != nil {
		return "", false
	}
	return c.Value, true
}

// visit is one request of a visitor.
type visit struct {
	addr    netip.Addr // zero: unknown
	host    string     // by which the website was called, with its port
	local   bool       // on a network that was named as local
	browser string     // the value of the browser's cookie
	set     func(*http.Cookie)
}

type visitKey struct{}

// visitOf returns the visit of a context; nil if the request did not come through the website.
func visitOf(ctx context.Context) *visit {
	v, _ := ctx.Value(visitKey{}).(*visit)
	return v
}

// newVisit reads what the website says about a visitor. A header that cannot be read counts as
// unknown, and an unknown address is never local.
func (r *Registry) newVisit(w http.ResponseWriter, in *http.Request) *visit {
	peer := r.cfg.Website.Peer
	if peer == nil {
		peer = func(in *http.Request) (netip.AddrPort, bool) {
			at, err := netip.ParseAddrPort(in.Header.Get(addrHeader))
			return at, err == nil
		}
	}
	v := &visit{host: in.Header.Get(hostHeader), set: func(c *http.Cookie) { http.SetCookie(w, c) }}
	if at, ok := peer(in); ok {
		v.addr = at.Addr().Unmap().WithZone("")
	}
	v.local = in.Header.Get(proxiedHeader) == "" && v.addr.IsValid() &&
		slices.ContainsFunc(r.cfg.Website.Local, func(p netip.Prefix) bool { return p.Contains(v.addr) })
	if c, err := in.Cookie(browserCookie); err == nil {
		v.browser = c.Value
	}
	return v
}

// from names the visitor's address for events and lock-outs. An IPv6 network counts as one address,
// since its holder has all addresses in it.
func (v *visit) from() string { return v.network(32, 64) }

// block names the block of addresses around the visitor's. One customer of a provider may have many
// addresses in a block.
func (v *visit) block() string { return v.network(24, 48) }

// network returns the network of this size around the visitor's address.
func (v *visit) network(bits4, bits6 int) string {
	if !v.addr.IsValid() {
		return "an unknown address"
	}
	bits := bits4
	if v.addr.Is6() {
		bits = bits6
	}
	p, err := v.addr.Prefix(bits)
	if err != nil || bits == v.addr.BitLen() {
		return v.addr.String()
	}
	return p.String()
}

// isOurs tells whether a host is one of the website's names, so that a passkey may be for it.
// Addresses pass as well; HasPasskeys refuses them.
func (r *Registry) isOurs(host string) bool { return KnowsHost(r.cfg.Website.Hosts, host) }

// KnowsHost tells whether a host, with or without a port, is one of the names. *.NAME stands for
// all names one label below NAME. An empty list allows every host. An address is always allowed,
// because an attacker's name cannot hide behind it.
func KnowsHost(names []string, host string) bool {
	if len(names) == 0 {
		return true
	}
	host = NameOf(host)
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	_, above, _ := strings.Cut(host, ".")
	return slices.Contains(names, host) || above != "" && slices.Contains(names, "*."+above)
}

// NameOf returns a request's host without its port.
func NameOf(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.ToLower(strings.Trim(host, "[]"))
}

// checkEvery is how often we check whether the principal of a running request is still signed in.
const checkEvery = 15 * time.Second

// Visitors returns a handler for the requests of the website's visitors. It finds the principal of
// each request by the cookie or the token alone, and ends the request when that principal is signed
// out meanwhile. next finds the principal in the request's context.
func (r *Registry) Visitors(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, in *http.Request) {
		base := in.Context()
		if r.cfg.Website.SignIns == nil {
			next.ServeHTTP(w, in.WithContext(WithPrincipal(base, Principal{})))
			return
		}
		if in.Method == http.MethodGet && in.URL.Path == ClientPath {
			r.serveClient(w, in)
			return
		}
		if in.Header.Get("Authorization") != "" {
			text, ok := Bearer(in)
			p := r.script(text)
			if !ok || p.Kind == Nobody {
				w.Header().Set("WWW-Authenticate", `Bearer realm="latchkey", error="invalid_token"`)
				writeProblem(w, http.StatusUnauthorized, TypeSignIn, "this token is nobody's, or is over")
				return
			}
			v := r.newVisit(w, in)
			r.serve(w, in, next, v, p, func(context.Context) bool { return r.script(text).Token == p.Token })
			return
		}
		r.sessions.LoadAndSave(http.HandlerFunc(func(w http.ResponseWriter, in *http.Request) {
			v := r.newVisit(w, in)
			in = in.WithContext(context.WithValue(in.Context(), visitKey{}, v))
			p := r.session(in.Context())
			cookie, _ := HasCookie(in)
			r.serve(w, in, next, v, p, func(ctx context.Context) bool {
				at, err := r.sessions.Load(base, cookie)
				return err == nil && r.signedIn(at).ID == p.Account
			})
		})).ServeHTTP(w, in)
	})
}

// serve lets next serve a request until its principal is signed out.
func (r *Registry) serve(
	w http.ResponseWriter, in *http.Request, next http.Handler, v *visit, p Principal,
	still func(context.Context) bool,
) {
	ctx := WithPrincipal(in.Context(), p)
	client := limit.Client{Account: string(p.Account), Token: string(p.Token)}
	if v.addr.IsValid() {
		client.Addr = limit.AddrOf(netip.AddrPortFrom(v.addr, 0).String())
	}
	ctx, cancel := context.WithCancel(limit.WithClient(ctx, client))
	defer cancel()
	if p.Kind != Nobody {
		var again *time.Timer
		ready := make(chan struct{})
		again = time.AfterFunc(checkEvery, func() {
			<-ready
			if !still(ctx) {
				cancel()
				return
			}
			if ctx.Err() == nil {
				again.Reset(checkEvery)
			}
		})
		close(ready)
		defer again.Stop()
	}
	next.ServeHTTP(w, in.WithContext(ctx))
}

// ClientPath is where the admin API says which account a visitor's requests are counted for. The
// website asks this for every request before any limit applies, so the answer comes before
// everything else and is cheap.
const ClientPath = "/v1/session/client"

// Client says which account a visitor's requests are counted for. For a stranger it is empty.
type Client struct {
	Account access.ID `json:"account,omitempty" doc:"left out of somebody who has not signed in"`
	Token   access.ID `json:"token,omitempty"`
}

// serveClient says which account a cookie or a token belongs to. It changes nothing.
func (r *Registry) serveClient(w http.ResponseWriter, in *http.Request) {
	var c Client
	if text, ok := Bearer(in); ok {
		p := r.script(text)
		c = Client{p.Account, p.Token}
	} else if cookie, ok := HasCookie(in); ok {
		if ctx, err := r.sessions.Load(in.Context(), cookie); err == nil {
			c.Account = r.signedIn(ctx).ID
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(c) // the client is gone
}

// writeProblem writes a problem of RFC 9457.
func writeProblem(w http.ResponseWriter, status int, kind, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	problem := map[string]any{"type": kind, "title": http.StatusText(status), "status": status,
		"detail": detail}
	_ = json.NewEncoder(w).Encode(problem) // the client is gone
}
