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

// guest calls the API as the website does for one of its visitors, or as somebody would who has
// taken the website over.
type guest struct {
	s       *site
	api     http.Handler
	cookies []*http.Cookie
	header  http.Header
}

// newGuest is a visitor from outside, at a site with people who can sign in.
func newGuest(t *testing.T, set ...func(*admin.Config)) *guest {
	t.Helper()
	s := staffed(t, append(set, func(c *admin.Config) { c.Website.SignIns = signInsOf(c) })...)
	s.must("PATCH", "/v1/accounts/oz", `{"password":"seven green birds"}`, nil)
	s.must("POST", "/v1/targets", `{"name":"front-door","kind":"door"}`, nil)
	return &guest{s: s, api: s.unvouched.Visitors(), header: http.Header{}}
}

func signInsOf(c *admin.Config) account.SignIns { return c.Store.(account.SignIns) }

// fresh is another visitor of the same site.
func (g *guest) fresh() *guest { return &guest{s: g.s, api: g.api, header: http.Header{}} }

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

// signIn signs somebody in who has no second step.
func (g *guest) signIn(name, password string) *guest {
	g.s.t.Helper()
	if code, text := g.do("POST", "/v1/session", `{"name":"`+name+`","password":"`+password+`"}`); code != 200 {
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

// Whoever controls the website may do what a visitor's cookie may, as long as it may, and nothing
// else.
func TestVisitors(t *testing.T) {
	g := newGuest(t)
	g.want("nobody", "GET", "/v1/targets", "", 401, account.TypeSignIn)
	g.want("nobody learns of himself that he is nobody", "GET", "/v1/session?operation=list-targets", "", 200,
		account.TypeSignIn)
	g.want("nobody mints a set-up code", "POST", "/v1/setup/code", "", 401, account.TypeSignIn)
	g.want("nobody has a budget", "GET", account.ClientPath, "", 200, "{}")
	g.want("a wrong password", "POST", "/v1/session", `{"name":"oz","password":"seven green bird"}`, 401, "the name or the password is wrong")
	g.want("a second step of nobody's", "POST", "/v1/session/second", `{"code":"123456"}`, 409, "sign in again")

	g.signIn("oz", ozsPassword)
	first := g.cookies
	g.want("who he is", "GET", "/v1/session", "", 200, `"name":"oz"`)
	g.want("no secret of it", "GET", "/v1/session", "", 200, `"password":true`)
	g.want("what his role may", "GET", "/v1/targets", "", 200, "front-door")
	g.want("what it may not", "POST", "/v1/persons", `{"name":"eve"}`, 403, "oz, who is an operator. This needs an admin")
	g.want("a door from outside", "POST", "/v1/operate", `{"target":"front-door","action":"unlock"}`, 403, account.TypeStep)
	g.want("and he is told before", "GET", "/v1/session?operation=operate+unlock", "", 200, `"fresh":"second"`)
	g.want("a set-up code", "POST", "/v1/setup/code", "", 403, account.TypeRole)
	g.want("a passkey of the website's own making", "POST",
		"/v1/accounts/"+string(g.s.account("oz").ID)+"/passkeys",
		`{"label":"x","id":"AQID","credential":{}}`, 403, account.TypeRole)
	g.want("somebody else's tokens", "POST", "/v1/accounts/"+string(g.s.account("ada").ID)+"/tokens", `{"label":"x","scopes":["read"]}`, 403, account.TypeRole)
	g.want("his own under his name, which may be another's a moment later", "POST", "/v1/accounts/oz/tokens", `{"label":"x","scopes":["read"]}`, 403, account.TypeRole)
	g.want("his own", "POST", "/v1/accounts/"+string(g.s.account("oz").ID)+"/tokens", `{"label":"x","scopes":["read"]}`, 201, "lkt-")
	g.want("a new password without the old one", "PUT", "/v1/session/password", `{"old":"","new":"nine green birds"}`, 401, "the old password is wrong")

	g.want("another password", "PUT", "/v1/session/password", `{"old":"`+ozsPassword+`","new":"nine green birds"}`, 200, `"name":"oz"`)
	g.want("this browser stays", "GET", "/v1/targets", "", 200, "front-door")
	stolen := g.fresh()
	stolen.cookies = first
	stolen.want("the cookie of before is over", "GET", "/v1/targets", "", 401, account.TypeSignIn)
	before := g.cookies
	g.want("he signs out", "DELETE", "/v1/session", "", 200, "")
	stolen.cookies = before
	stolen.want("the cookie of before that is over", "GET", "/v1/targets", "", 401, account.TypeSignIn)

	g.signIn("oz", "nine green birds")
	g.s.must("PATCH", "/v1/accounts/oz", `{"disabled":true}`, nil)
	g.want("disabled", "GET", "/v1/targets", "", 401, account.TypeSignIn)
	g.want("disabled, at once for budgets too", "GET", account.ClientPath, "", 200, "{}")
}

// What a request says of itself besides its cookie or token is not believed.
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
	// With an address that the gateway knows by itself, nobody says that they are near.
	for name, want := range map[string]int{"203.0.113.9": 403, "192.168.1.7": 503} { // 503: nobody refused it, and no gateway runs here
		g := newGuest(t, func(c *admin.Config) {
			c.Website.Local = []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24")}
			c.Website.Peer = func(*http.Request) (netip.AddrPort, bool) {
				return netip.AddrPortFrom(netip.MustParseAddr(name), 1), true
			}
		}).signIn("oz", ozsPassword)
		g.header.Set("Latchkey-Visitor-Address", "192.168.1.7:4000")
		if code, text := g.do("POST", "/v1/operate", `{"target":"front-door","action":"unlock"}`); code != want {
			t.Errorf("from %s: got %d %s, want %d", name, code, text, want)
		}
	}
}

// Guesses are counted by the gateway, whoever passes them on.
func TestVisitorsHaveTries(t *testing.T) {
	g := newGuest(t)
	for i := range 11 {
		code, text := g.fresh().do("POST", "/v1/session", `{"name":"oz","password":"wrong wrong wrong"}`)
		if want := map[bool]int{true: 401, false: 429}[i < 10]; code != want {
			t.Fatalf("guess %d: got %d %s, want %d", i+1, code, text, want)
		}
	}
}

// What a token or a sign-in has begun ends when that is taken back.
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
				// Waits for an event that does not come in time: what ends it makes one, but not so
				// many.
				_, _ = g.do("GET", fmt.Sprintf("/v1/events?from=%d&wait=60", head.Seq+10), "")
				if took := time.Since(began); took < 20*time.Second || took > 31*time.Second {
					t.Errorf("it ended after %v, want at the next look, 30 s after it began", took)
				}
			})
		})
	}
}

// The website is told of whatever it shows somebody who has signed in, by two members and no
// secret.
func TestSessionShowsNoSecret(t *testing.T) {
	g := newGuest(t).signIn("ada", adasPassword)
	_, text := g.do("GET", "/v1/session?operation=add-account", "")
	var got api.Session
	if err := json.Unmarshal([]byte(text), &got); err != nil || got.Account == nil ||
		got.Account.Name != "ada" || got.Refused != nil {
		t.Errorf("got %s, %v, want ada, who may", text, err)
	}
	if strings.Contains(text, "argon2") {
		t.Errorf("got %s: what is kept of a password is there", text)
	}
}
