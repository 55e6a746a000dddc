package admin_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/gateway/account"
	"latchkey/gateway/admin"
	"latchkey/gateway/admin/api"
)

// guest calls the API like the website for one of its visitors, or like somebody who has taken over
// the website.
type guest struct {
	s       *site
	api     http.Handler
	cookies []*http.Cookie
	header  http.Header
}

// newGuest returns a visitor from outside, at a site with people who can sign in.
func newGuest(t *testing.T, set ...func(*admin.Config)) *guest {
	t.Helper()
	s := staffSite(t, append(set, func(c *admin.Config) { c.Website.SignIns = signInsOf(c) })...)
	s.must("PATCH", "/v1/accounts/oz", `{"password":"seven green birds"}`, nil)
	s.must("POST", "/v1/targets", `{"name":"front-door","kind":"door"}`, nil)
	return &guest{s: s, api: s.unvouched.Visitors(), header: http.Header{}}
}

func signInsOf(c *admin.Config) account.SignIns { return c.Store.(account.SignIns) }

// newVisitor returns another visitor of the same site.
func (g *guest) newVisitor() *guest { return &guest{s: g.s, api: g.api, header: http.Header{}} }

func (g *guest) do(method, path, body string) (int, string) {
	g.s.t.Helper()
	in := httptest.NewRequest(http.MethodGet, "https://door.example/", nil)
	in.RemoteAddr = "203.0.113.9:4000"
	r := httptest.NewRequestWithContext(g.s.t.Context(), method, path, strings.NewReader(body))
	account.Describe(r.Header, in, g.cookies)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for name, values := range g.header {
		r.Header[name] = values
	}
	w := httptest.NewRecorder()
	g.api.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		g.cookies = append([]*http.Cookie{c}, g.cookies...)
	}
	return w.Code, strings.TrimSpace(w.Body.String())
}

// signIn signs in somebody who has no second step.
func (g *guest) signIn(name, password string) *guest {
	g.s.t.Helper()
	if code, text := g.do("POST", "/v1/session",
		`{"name":"`+name+`","password":"`+password+`"}`); code != 200 {
		g.s.t.Fatalf("sign in: got %d %s", code, text)
	}
	return g
}

func (g *guest) want(what, method, path, body string, code int, text string) {
	g.s.t.Helper()
	if got, answer := g.do(method, path, body); got != code || !strings.Contains(answer, text) {
		g.s.t.Errorf("%s: got %d %.300s, want %d and %q", what, got, answer, code, text)
	}
}

const ozsPassword = "seven green birds"

// Somebody who controls the website can do what a visitor's cookie allows, as long as it allows it,
// and nothing else.
func TestVisitors(t *testing.T) {
	g := newGuest(t)
	g.want("a stranger", "GET", "/v1/targets", "", 401, account.TypeSignIn)
	g.want("a stranger is told that they must sign in", "GET", "/v1/session?operation=list-targets", "", 200,
		account.TypeSignIn)
	g.want("a stranger cannot mint a set-up code", "POST", "/v1/setup/code", "", 401, account.TypeSignIn)
	g.want("a stranger has no account to count for", "GET", account.ClientPath, "", 200, "{}")
	g.want("a wrong password", "POST", "/v1/session", `{"name":"oz","password":"seven green bird"}`, 401,
		"the name or the password is wrong")
	g.want("a second step without a first", "POST", "/v1/session/second", `{"code":"123456"}`, 409,
		"sign in again")

	g.signIn("oz", ozsPassword)
	first := g.cookies
	g.want("the session names the account", "GET", "/v1/session", "", 200, `"name":"oz"`)
	g.want("the session has no secret", "GET", "/v1/session", "", 200, `"password":true`)
	g.want("an operation that the role allows", "GET", "/v1/targets", "", 200, "front-door")
	g.want("an operation that it does not allow", "POST", "/v1/persons", `{"name":"eve"}`, 403,
		"oz, who is an operator. This needs an admin")
	g.want("a door from outside", "POST", "/v1/operate", `{"target":"front-door","action":"unlock"}`, 403,
		account.TypeStep)
	g.want("the session says so before the call", "GET", "/v1/session?operation=operate+unlock", "", 200,
		`"fresh":"second"`)
	g.want("a set-up code", "POST", "/v1/setup/code", "", 403, account.TypeRole)
	g.want("a passkey that the website makes up", "POST",
		"/v1/accounts/"+string(g.s.findAccount("oz").ID)+"/passkeys",
		`{"label":"x","id":"AQID","credential":{}}`, 403, account.TypeRole)
	g.want("somebody else's tokens", "POST", "/v1/accounts/"+string(g.s.findAccount("ada").ID)+"/tokens",
		`{"label":"x","scopes":["read"]}`, 403, account.TypeRole)
	g.want("the own tokens under a name, which may be another's a moment later", "POST",
		"/v1/accounts/oz/tokens",
		`{"label":"x","scopes":["read"]}`, 403, account.TypeRole)
	g.want("the own tokens", "POST", "/v1/accounts/"+string(g.s.findAccount("oz").ID)+"/tokens",
		`{"label":"x","scopes":["read"]}`, 201, "lkt-")
	g.want("a new password without the old one", "PUT", "/v1/session/password",
		`{"old":"","new":"nine green birds"}`, 401, "the old password is wrong")

	g.want("another password", "PUT", "/v1/session/password",
		`{"old":"`+ozsPassword+`","new":"nine green birds"}`, 200, `"name":"oz"`)
	g.want("this browser stays signed in", "GET", "/v1/targets", "", 200, "front-door")
	stolen := g.newVisitor()
	stolen.cookies = first
	stolen.want("the old cookie is no longer valid", "GET", "/v1/targets", "", 401, account.TypeSignIn)
	before := g.cookies
	g.want("signing out", "DELETE", "/v1/session", "", 200, "")
	stolen.cookies = before
	stolen.want("the cookie is not valid after signing out", "GET", "/v1/targets", "", 401,
		account.TypeSignIn)

	g.signIn("oz", "nine green birds")
	g.s.must("PATCH", "/v1/accounts/oz", `{"disabled":true}`, nil)
	g.want("disabled", "GET", "/v1/targets", "", 401, account.TypeSignIn)
	g.want("disabled, and at once no longer counted", "GET", account.ClientPath, "", 200, "{}")
}

// Only the cookie or the token of a request says who makes it. Whatever else the request claims is
// ignored.
func TestVisitorsClaimNothing(t *testing.T) {
	g := newGuest(t)
	r := httptest.NewRequestWithContext(account.WithPrincipal(t.Context(), account.NewUnixPeer("root")),
		"GET", "/v1/targets", nil)
	w := httptest.NewRecorder()
	g.api.ServeHTTP(w, r)
	if w.Code != 401 {
		t.Errorf("a principal in the context: got %d, want 401", w.Code)
	}
	g.s.must("POST", "/v1/accounts/ada/tokens", `{"label":"x","scopes":["manage"]}`, nil)
	for what, authorization := range map[string]string{"no token": "Bearer ",
		"another's": "Bearer lkt-00000000000000000000000000",
		"long":      "Bearer " + strings.Repeat("a", 10000), "another scheme": "Basic b3o6eA=="} {
		g.header.Set("Authorization", authorization)
		g.want(what, "GET", "/v1/targets", "", 401, "this token is nobody's")
	}
	// The gateway uses the address that it sees, so a header cannot claim that a visitor is near.
	// 503: it was not refused, but no gateway runs here
	for name, want := range map[string]int{"203.0.113.9": 403, "192.168.1.7": 503} {
		g := newGuest(t, func(c *admin.Config) {
			c.Website.Local = []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24")}
			c.Website.Peer = func(*http.Request) (netip.AddrPort, bool) {
				return netip.AddrPortFrom(netip.MustParseAddr(name), 1), true
			}
		}).signIn("oz", ozsPassword)
		g.header.Set("Latchkey-Visitor-Address", "192.168.1.7:4000")
		if code, text := g.do("POST", "/v1/operate",
			`{"target":"front-door","action":"unlock"}`); code != want {
			t.Errorf("from %s: got %d %s, want %d", name, code, text, want)
		}
	}
}

// The gateway counts guesses, whoever passes them on.
func TestVisitorsHaveTries(t *testing.T) {
	g := newGuest(t)
	for i := range 11 {
		code, text := g.newVisitor().do("POST", "/v1/session", `{"name":"oz","password":"wrong wrong wrong"}`)
		if want := map[bool]int{true: 401, false: 429}[i < 10]; code != want {
			t.Fatalf("guess %d: got %d %s, want %d", i+1, code, text, want)
		}
	}
}

// A request that waits ends when its token or sign-in is revoked.
func TestVisitorsRequestsEnd(t *testing.T) {
	for _, what := range []string{"token", "sign-in"} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGuest(t)
				end := func() { g.s.must("POST", "/v1/accounts/oz/sign-out", "", nil) }
				if what == "token" {
					var minted api.MintedToken
					g.s.must("POST", "/v1/accounts/oz/tokens", `{"label":"x","scopes":["read"]}`, &minted)
					g.header.Set("Authorization", "Bearer "+minted.Text)
					end = func() { g.s.must("DELETE", "/v1/accounts/oz/tokens/"+string(minted.ID), "", nil) }
				} else {
					g.signIn("oz", ozsPassword)
				}
				var head api.Head
				g.s.must("GET", "/v1/audit/head", "", &head)
				began := time.Now()
				time.AfterFunc(20*time.Second, end)
				// It waits for an event that does not come: revoking makes events, but not ten.
				_, _ = g.do("GET", fmt.Sprintf("/v1/events?from=%d&wait=60", head.Seq+10), "")
				if took := time.Since(began); took < 20*time.Second || took > 31*time.Second {
					t.Errorf("it ended after %v, want at the next check, 30 s after it began", took)
				}
			})
		})
	}
}

// The answer for a session that is signed in has the account, and no secret.
func TestSessionShowsNoSecret(t *testing.T) {
	g := newGuest(t).signIn("ada", adasPassword)
	_, text := g.do("GET", "/v1/session?operation=add-account", "")
	var got api.Session
	if err := json.Unmarshal([]byte(text), &got); err != nil || got.Account == nil ||
		got.Account.Name != "ada" || got.Refused != nil {
		t.Errorf("got %s, %v, want ada, who is not refused", text, err)
	}
	if strings.Contains(text, "argon2") {
		t.Errorf("got %s: it shows the hash of a password", text)
	}
}
