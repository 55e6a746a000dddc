package console_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"latchkey/gateway/admin/api"
	"latchkey/gateway/console/webtest"
)

// makeCode returns the code that a phone with the secret shows, so many steps of 30 s from now.
func makeCode(t *testing.T, secret string, step int) string {
	t.Helper()
	c, err := totp.GenerateCode(secret, time.Now().Add(time.Duration(step)*30*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// readSecret returns the secret of one-time codes that a page shows.
func readSecret(p *webtest.Page) string {
	secret := regexp.MustCompile(`Secret ([A-Z2-7]{32})`).FindStringSubmatch(strings.ReplaceAll(p.Text(),
		"\n", " "))
	if secret == nil {
		return ""
	}
	return secret[1]
}

func TestDoorFromOutsideNeedsASecondStep(t *testing.T) {
	h := newHouse(t) // no network is local: loopback is outside
	p := h.openSignedIn("owner", webtest.Options{})
	p.Expect("403")
	p.In("front-door").Click("Unlock 2s")
	p.See("your account has none")
	if h.lock.Moves() != 0 {
		t.Fatal("the door opened")
	}
	p.Open("/account")
	p.Click("Set up one-time codes")
	secret := readSecret(p)
	p.Fill("Code", "000000")
	p.Expect("422")
	p.Click("Use these codes")
	p.See("it is wrong")
	used := makeCode(t, secret, 0)
	p.Fill("Code", used)
	p.Click("Use these codes")
	p.See("From now on you are asked for a code")
	p.Click("Home") // the code of a moment ago counts as second step
	p.In("front-door").Click("Unlock 2s")
	p.See("front-door is unlocked")
	h.eventually("the lock has let go", func() bool { return h.lock.Moves() > 0 })

	again := h.openPage(webtest.Options{})
	again.Open("/sign-in")
	again.Fill("Name", "owner")
	again.Fill("Password", password)
	again.Click("Sign in")
	again.See("Second step")
	again.Fill("Code from your authenticator app", used)
	again.Expect("422")
	again.Click("Sign in")
	again.See("wrong, or was used already")
	again.Fill("Code from your authenticator app", makeCode(t, secret, 1))
	again.Click("Sign in")
	again.See("Doors")
}

func TestPasskeySignsInAndOpensADoorFromOutside(t *testing.T) {
	h := newHouse(t)
	p := h.openSignedIn("owner", webtest.Options{})
	p.Authenticator()
	p.Click("Account")
	p.Fill("What to call it", "phone")
	p.Click("Add a passkey")
	p.See("The passkey is yours now")
	p.Click("Sign out")
	p.Click("Sign in with a passkey")
	p.See("Doors")
	p.In("front-door").Click("Unlock 2s")
	p.See("front-door is unlocked")
	h.eventually("the lock has let go", func() bool { return h.lock.Moves() > 0 })
	// The password alone is not enough, and the page asks only for the passkey.
	p.Click("Sign out")
	p.Fill("Name", "owner")
	p.Fill("Password", password)
	p.Click("Sign in")
	p.See("Second step")
	p.Click("Use a passkey")
	p.See("Doors")
	var events api.Events
	h.must("GET", "/v1/events", "", &events)
	how := 0
	for _, e := range events.Items {
		if e.Kind == "sign-in" && strings.Contains(e.Detail, "passkey") {
			how++
		}
	}
	if how != 2 {
		t.Errorf("got %d events of a sign-in with a passkey, want 2", how)
	}
	p.Click("Account")
	p.Click("Remove passkey phone")
	p.See("The passkey is removed")
}

func TestForwardedRequestIsOutside(t *testing.T) {
	h := newHouse(t, here)
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Proto",
		"X-Forwarded-Anything"} {
		b := h.newBrowser().signIn("owner")
		b.header.Set(name, "for=127.0.0.1")
		resp, text := b.do("POST", "/doors/front-door/unlock", "")
		if resp.StatusCode != http.StatusForbidden || !strings.Contains(text, "second step") ||
			h.lock.Moves() != 0 {
			t.Errorf("%s: got %s and %d moves of the lock, want 403 and none", name, resp.Status,
				h.lock.Moves())
		}
	}
	b := h.newBrowser().signIn("owner")
	if resp, text := b.do("POST", "/doors/front-door/unlock", ""); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("without such a header: got %s %s, want the door to open", resp.Status, text)
	}
}

func TestSignInsEnd(t *testing.T) {
	h := newHouse(t, here)
	in := func(b *browser) bool {
		resp, _ := b.do("GET", "/people",
			"")
		return resp.StatusCode == http.StatusOK
	}
	form := func(pairs ...string) string {
		v := url.Values{}
		for i := 0; i < len(pairs); i += 2 {
			v.Set(pairs[i], pairs[i+1])
		}
		return v.Encode()
	}
	for name, end := range map[string]func(ending, other *browser){
		"by signing out":            func(b, _ *browser) { b.do("POST", "/sign-out", "") },
		"by signing out everywhere": func(_, o *browser) { o.do("POST", "/account/sign-out", "") },
		"at the machine": func(_, _ *browser) {
			h.must("POST", "/v1/accounts/owner/sign-out", "",
				nil)
		},
		"with a new password": func(_, o *browser) {
			o.do("POST", "/account/password", form("old", password, "password", password+"!", "repeat",
				password+"!"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			h.must("PATCH", "/v1/accounts/owner", `{"password":"`+password+`"}`, nil)
			ending, other := h.newBrowser().signIn("owner"), h.newBrowser().signIn("owner")
			if !in(ending) || !in(other) {
				t.Fatal("the browsers are not signed in at the start")
			}
			stolen := ending.findCookie()
			end(ending, other)
			ending.Jar.(*jar).cookies = map[string]*http.Cookie{stolen.Name: stolen}
			if in(ending) {
				t.Error("the sign-in has not ended")
			}
			if name != "by signing out" && name != "at the machine" && !in(other) {
				t.Error("the browser that sent the request is signed out too")
			}
		})
	}
}

func TestSignInGetsANewCookie(t *testing.T) {
	h := newHouse(t)
	b := h.newBrowser()
	const planted = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	b.Jar.(*jar).cookies["__Host-latchkey"] = &http.Cookie{Name: "__Host-latchkey", Value: planted}
	b.signIn("owner")
	first := b.findCookie()
	if first.Value == planted || !first.Secure || !first.HttpOnly ||
		first.SameSite != http.SameSiteStrictMode || first.Path != "/" || first.Domain != "" {
		t.Errorf("got %v", first)
	}
	b.signIn("owner")
	if b.findCookie().Value == first.Value {
		t.Error("the second sign-in has the cookie of the first")
	}
	b.Jar.(*jar).cookies[first.Name] = first
	if resp, _ := b.do("GET", "/", ""); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("the first cookie after the second sign-in: got %s, want it no longer valid", resp.Status)
	}
}

// Somebody who guesses passwords does not learn which accounts exist, and the guesses are recorded.
func TestGuessing(t *testing.T) {
	h := newHouse(t)
	answers := map[string][]string{}
	for _, name := range []string{"owner", "nobody"} {
		b := h.newBrowser()
		for range 11 {
			resp, text := b.do("POST", "/sign-in", url.Values{"name": {name},
				"password": {"wrong wrong wrong"}}.Encode())
			text = regexp.MustCompile(`Wait \d+ \w+`).ReplaceAllString(strings.ReplaceAll(text, name, "NAME"),
				"Wait some")
			answers[name] = append(answers[name], resp.Status+text)
		}
	}
	for i, text := range answers["owner"] {
		if text != answers["nobody"][i] {
			t.Errorf("try %d: got %s for an account that exists, and %s for one that does not", i+1, text,
				answers["nobody"][i])
		}
		if late := i >= 10; strings.Contains(text, "429 Too Many Requests") != late ||
			strings.Contains(text, "Too many wrong tries. Wait some") != late ||
			strings.Contains(text, "The name or the password is wrong") == late {
			t.Errorf("try %d: got %s", i+1, text)
		}
	}
	var events api.Events
	h.must("GET", "/v1/events", "", &events)
	told := map[string]string{}
	for _, e := range events.Items {
		if e.Kind == "sign-in" {
			told[e.Actor] = e.Detail
		}
	}
	// There is one event for each name, because a second one follows only after a quarter of an
	// hour.
	for _, name := range []string{"owner", "nobody"} {
		if want := "from 127.0.0.1: refused 5 times, the last for password"; told[name] != want {
			t.Errorf("%s: got the event %q, want %q", name, told[name], want)
		}
	}
}

func (b *browser) findCookie() *http.Cookie {
	b.h.t.Helper()
	c := b.Jar.(*jar).cookies["__Host-latchkey"]
	if c == nil {
		b.h.t.Fatal("no cookie")
	}
	return c
}

func TestTokenDoesWhatItsScopesSay(t *testing.T) {
	h := newHouse(t)
	h.addAccount("vic", "viewer")
	mint := func(account, scopes string) *browser {
		var got api.MintedToken
		h.must("POST", "/v1/accounts/"+account+"/tokens",
			`{"label":"`+scopes+`","scopes":["`+strings.ReplaceAll(scopes, " ", `","`)+`"]}`, &got)
		b := h.newBrowser()
		b.header.Set("Authorization", "Bearer "+got.Text)
		b.header.Set("Content-Type", "application/json")
		return b
	}
	who := map[string]*browser{"read": mint("owner", "read"), "lamps": mint("owner", "lamps"),
		"doors": mint("owner", "doors"), "manage": mint("owner", "manage"),
		"all of a viewer": mint("vic", "read lamps doors manage"), "none": h.newBrowser()}
	who["none"].header.Set("Authorization", "Bearer lkt-aaaaaaaaaaaaaaaaaaaaaaaaaa")
	for _, tt := range []struct{ method, path, body, who string }{
		{"GET", "/v1/status", "", "read, all of a viewer"},
		{"GET", "/v1/events", "", "read, all of a viewer"},
		{"GET", "/healthz", "", "read, all of a viewer"},
		{"POST", "/v1/explain", `{"person":"ann","target":"front-door"}`, "read, all of a viewer"},
		{"POST", "/v1/operate", `{"target":"hall","action":"on"}`, "lamps"},
		{"POST", "/v1/operate", `{"target":"front-door","action":"unlock"}`, "doors"},
		{"POST", "/v1/operate", `{"target":"front-door","action":"on","action":"unlock"}`, ""},
		{"POST", "/v1/groups", `{"name":"staff"}`, "manage"},
		{"GET", "/v1/accounts", "", ""},
		{"GET", "/v1/%61ccounts", "", ""},
		{"POST", "/v1/accounts", `{"name":"eve","role":"owner"}`, ""},
		{"POST", "/v1/setup/code", "", ""},
		{"POST", "/v1/tokens/check", `{"token":"x"}`, ""},
		{"POST", "/v1/sign-ins", `{"account":"x","from":"x","how":"x"}`, ""},
		{"GET", "/v1/persons/../accounts", "", ""},
	} {
		for name, b := range who {
			may := strings.Contains(", "+tt.who+",", ", "+name+",")
			if resp, text := b.do(tt.method, "/api"+tt.path, tt.body); (resp.StatusCode/100 == 2) != may {
				t.Errorf("%s %s %s with %s: got %s %.200s, want it allowed: %v", tt.method, tt.path, tt.body,
					name, resp.Status, text, may)
			}
		}
	}
	// The API below /api refuses cookies, and pages refuse tokens.
	if resp, _ := h.newBrowser().signIn("owner").do("GET", "/api/v1/status",
		""); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("the API with a cookie: got %s, want 401", resp.Status)
	}
	if resp, _ := who["manage"].do("GET", "/people", ""); resp.StatusCode == http.StatusOK {
		t.Error("a page was shown to a request with a token")
	}
}

// Without scripts no page offers a passkey. With scripts it does, also on a page that a script has
// loaded.
func TestPasskeyIsOfferedOnlyWithScripts(t *testing.T) {
	h := newHouse(t)
	for _, tt := range []struct {
		name, account, passkey string
		opts                   webtest.Options
	}{{"with scripts", "ada", "AQID", webtest.Options{}}, {"without", "bea", "AQIE",
		webtest.Options{NoScript: true}}} {
		t.Run(tt.name, func(t *testing.T) {
			account, h := tt.account, *h
			h.t = t
			h.addAccount(account, "owner")
			var made api.TOTPSecret
			h.must("POST", "/v1/accounts/"+account+"/totp", "", &made)
			h.must("PUT", "/v1/accounts/"+account+"/totp", `{"secret":"`+made.Secret+`","code":"`+makeCode(t,
				made.Secret, -1)+`"}`, nil)
			h.must("POST", "/v1/accounts/"+account+"/passkeys",
				`{"label":"phone","id":"`+tt.passkey+`","credential":{}}`, nil)
			p := h.openPage(tt.opts)
			offered := func(text string) {
				t.Helper()
				if tt.opts.NoScript {
					p.DontSee(text)
				} else {
					p.See(text)
				}
			}
			p.Open("/sign-in")
			offered("Sign in with a passkey")
			p.Fill("Name", account)
			p.Fill("Password", password)
			p.Click("Sign in")
			p.See("Code from your authenticator app")
			offered("Use a passkey")
			p.Fill("Code from your authenticator app", makeCode(t, made.Secret, 0))
			p.Click("Sign in")
			p.See("Doors")
			p.Open("/account")
			offered("Add a passkey")
		})
	}
}
