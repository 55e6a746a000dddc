package console_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/client"

	"github.com/pquerna/otp/totp"

	"latchkey/gateway/account"
	"latchkey/gateway/admin"
	"latchkey/gateway/console"
	"latchkey/gateway/store"
)

// castle is a console over a real admin API and a real store, without a network and with one clock
// that a test moves: hours pass at once.
type castle struct {
	t       *testing.T
	now     time.Time
	api     http.Client
	site    http.Handler // the API as it is for the console
	console http.Handler
	kept    *kept
	secret  string // of the owner's one-time codes
	used    int64  // the last time step of which the owner has typed the code
}

// newCastle has an owner with a password and one-time codes.
func newCastle(t *testing.T) *castle {
	t.Helper()
	c := &castle{t: t, now: time.Now()}
	clock := func() time.Time { return c.now }
	st, err := store.Open(t.Context(), store.Options{Dir: filepath.Join(t.TempDir(), "data"), Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Check(context.Background()); err != nil {
			t.Errorf("store: %v", err)
		}
		if err := st.Close(); err != nil {
			t.Errorf("store: %v", err)
		}
	})
	c.kept = &kept{SignIns: st, until: map[[32]byte]time.Time{}}
	answers := admin.New(admin.Config{Store: st, Now: clock, Website: account.Website{SignIns: c.kept}})
	c.api = http.Client{Transport: client.InProcess(account.As(account.NewUnixPeer("admin"), answers))}
	c.site = answers.Visitors()
	if c.console, err = console.New(console.Config{API: c.site, Now: clock}); err != nil {
		t.Fatal(err)
	}
	c.must("POST", "/v1/accounts", `{"name":"owner","role":"owner","password":"`+password+`"}`, nil)
	var made api.TOTPSecret
	c.must("POST", "/v1/accounts/owner/totp", "", &made)
	c.secret = made.Secret
	c.must("PUT", "/v1/accounts/owner/totp", `{"secret":"`+c.secret+`","code":"`+c.code()+`"}`, nil)
	c.now = c.now.Add(time.Minute) // the next code is a new one
	return c
}

// kept is where sign-ins are kept, and notes until when.
type kept struct {
	account.SignIns
	until map[[32]byte]time.Time
}

func (k *kept) PutSignIn(ctx context.Context, id [32]byte, data []byte, expiry time.Time) error {
	k.until[id] = expiry
	return k.SignIns.PutSignIn(ctx, id, data, expiry)
}

func (k *kept) DeleteSignIn(ctx context.Context, id [32]byte) error {
	delete(k.until, id)
	return k.SignIns.DeleteSignIn(ctx, id)
}

// expiries are until when each sign-in is kept.
func (c *castle) expiries() []time.Time { return slices.Collect(maps.Values(c.kept.until)) }

func (c *castle) must(method, path, body string, out any) {
	c.t.Helper()
	(&house{t: c.t, api: c.api}).must(method, path, body, out)
}

// code is the owner's next one-time code: each fits once, so the clock goes on where it must.
func (c *castle) code() string {
	c.t.Helper()
	if step := c.now.Unix() / 30; step <= c.used {
		c.now = c.now.Add(time.Duration(c.used+1-step) * 30 * time.Second)
	}
	c.used = c.now.Unix() / 30
	code, err := totp.GenerateCode(c.secret, c.now)
	if err != nil {
		c.t.Fatal(err)
	}
	return code
}

// rawClient is a browser's cookies and its address.
type rawClient struct {
	c       *castle
	addr    string
	cookies map[string]string
}

func (c *castle) client(addr string) *rawClient {
	return &rawClient{c: c, addr: addr, cookies: map[string]string{}}
}

// post sends a form and keeps the cookies of the answer.
func (b *rawClient) post(path string, pairs ...string) *httptest.ResponseRecorder {
	b.c.t.Helper()
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	r := httptest.NewRequestWithContext(b.c.t.Context(), http.MethodPost, "https://door.example"+path,
		strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.RemoteAddr = b.addr
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	w := httptest.NewRecorder()
	b.c.console.ServeHTTP(w, r)
	for _, cookie := range w.Result().Cookies() {
		b.cookies[cookie.Name] = cookie.Value
	}
	return w
}

// guess sends a wrong password of the owner's.
func (b *rawClient) guess() *httptest.ResponseRecorder {
	b.c.t.Helper()
	w := b.post("/sign-in", "name", "owner", "password", "wrong wrong wrong")
	if w.Code == http.StatusSeeOther {
		b.c.t.Fatal("a wrong password was right")
	}
	return w
}

// signIn signs the owner in with password and code, and says at which step it ended if it did.
func (b *rawClient) signIn() (ended string) {
	b.c.t.Helper()
	if w := b.post("/sign-in", "name", "owner", "password", password); w.Code != http.StatusSeeOther {
		return fmt.Sprint("password: ", w.Code, " ", note(w))
	}
	if w := b.post("/sign-in/second", "step-code", b.c.code()); w.Code != http.StatusSeeOther ||
		w.Header().Get("Location") != "/" {
		return fmt.Sprint("code: ", w.Code, " ", note(w))
	}
	return ""
}

// forget makes it a browser in which nobody has signed in yet.
func (b *rawClient) forget() { b.cookies = map[string]string{} }

// note is what a page says was wrong.
func note(w *httptest.ResponseRecorder) string {
	_, text, _ := strings.Cut(w.Body.String(), `role="alert">`)
	text, _, _ = strings.Cut(text, "<")
	return text
}

// Five wrong passwords of anybody's once kept the owner out for good: his right one spent the one
// try that came back, and left none for his code.
func TestGuessesElsewhereLeaveTheOwnerHisSecondStep(t *testing.T) {
	c := newCastle(t)
	thief, owner := c.client("203.0.113.9:1"), c.client("192.0.2.7:1")
	for range 30 {
		thief.guess()
	}
	c.now = c.now.Add(16 * time.Second)
	if ended := owner.signIn(); ended != "" {
		t.Errorf("got %s, want the owner in", ended)
	}
}

// From ten guesses on, the wait once was longer than the page of the second step lasted.
func TestSecondStepLastsLongerThanTheLongestWait(t *testing.T) {
	c := newCastle(t)
	owner := c.client("192.0.2.7:1")
	if w := owner.post("/sign-in", "name", "owner", "password", password); w.Code != http.StatusSeeOther {
		t.Fatalf("got %d %s", w.Code, note(w))
	}
	var w *httptest.ResponseRecorder
	for range 50 {
		if w = owner.post("/sign-in/second", "step-code", "000000"); w.Header().Get("Retry-After") != "" {
			break
		}
	}
	wait, err := time.ParseDuration(w.Header().Get("Retry-After") + "s")
	if err != nil || w.Code != http.StatusTooManyRequests {
		t.Fatalf("after many wrong codes: got %d, Retry-After %q, want 429 and how long", w.Code,
			w.Header().Get("Retry-After"))
	}
	c.now = c.now.Add(15*time.Minute + time.Second)
	if wait > 15*time.Minute {
		t.Errorf("got to wait %v, want 15 minutes at most", wait)
	}
	if w := owner.post("/sign-in/second", "step-code", c.code()); w.Code != http.StatusSeeOther ||
		w.Header().Get("Location") != "/" {
		t.Errorf("the right code after the longest wait: got %d to %q %s, want the owner in", w.Code,
			w.Header().Get("Location"), note(w))
	}
}

// An empty password, code or passkey is nobody's try, and a wait is 429 with how long.
func TestEmptyIsNoTry(t *testing.T) {
	c := newCastle(t)
	b := c.client("192.0.2.7:1")
	for range 50 {
		for path, form := range map[string][]string{"/sign-in": {"name", "owner", "password", ""},
			"/sign-in/passkey": {"step-passkey", ""}} {
			if w := b.post(path, form...); w.Code != http.StatusUnprocessableEntity {
				t.Fatalf("%s with nothing: got %d %s, want 422", path, w.Code, note(w))
			}
		}
	}
	b.post("/sign-in", "name", "owner", "password", password)
	for range 50 {
		for _, form := range [][]string{{"step-passkey", ""}, {"step-code", ""}, {"step-code", " "}, {}} {
			if w := b.post("/sign-in/second", form...); w.Code != http.StatusUnprocessableEntity ||
				!strings.Contains(note(w), "Neither a passkey nor a code was sent") {
				t.Fatalf("a second step with nothing: got %d %s, want 422", w.Code, note(w))
			}
		}
	}
	if ended := b.signIn(); ended != "" {
		t.Errorf("after nothing at all: got %s, want the owner in", ended)
	}
	b.post("/sign-out")
	for range 10 {
		b.guess()
	}
	b.guess() // in this browser the owner has signed in: it has ten tries, and then those of a stranger
	for range 9 {
		b.guess()
	}
	if w := b.guess(); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "900" ||
		!strings.Contains(note(w), "Wait 15 minutes") {
		t.Errorf("got %d, Retry-After %q, %q, want 429 and 15 minutes", w.Code, w.Header().Get("Retry-After"),
			note(w))
	}
}

// Whoever is right spends nothing, but clears nothing that others owe at the same address either.
func TestSuccessClearsNothingForOthers(t *testing.T) {
	c := newCastle(t)
	c.must("POST", "/v1/accounts", `{"name":"vic","role":"viewer","password":"`+password+`"}`, nil)
	vic := c.client("192.0.2.7:1")
	tries := 0
	for name := range 40 { // as viewer, in between, vic signs in and guesses for others
		if w := vic.post("/sign-in", "name", "vic", "password", password); w.Code != http.StatusSeeOther {
			break
		}
		vic.forget()
		if w := vic.post("/sign-in", "name", fmt.Sprint("name", name), "password",
			"wrong wrong wrong"); w.Code == http.StatusTooManyRequests {
			break
		}
		tries++
	}
	if tries != 30 {
		t.Errorf("got %d tries of one address, want 30: signing in as oneself gives none back", tries)
	}
	if w := vic.post("/sign-in", "name", "vic", "password", password); w.Code != http.StatusTooManyRequests {
		t.Errorf("got %d, want that the address waits", w.Code)
	}
}

// Somebody who is signed in goes on being asked, whatever strangers do, and guesses for nobody
// else.
func TestSignedInStepsHaveTheirOwnTries(t *testing.T) {
	c := newCastle(t)
	owner, thief := c.client("192.0.2.7:1"), c.client("192.0.2.7:2") // behind one proxy
	if ended := owner.signIn(); ended != "" {
		t.Fatal(ended)
	}
	delete(owner.cookies, "__Host-latchkey-browser") // signed in before there were such cookies
	c.now = c.now.Add(16 * time.Minute)
	for range 30 {
		thief.guess()
	}
	if w := owner.post("/groups", "name", "g", "of", "persons", "step-code",
		c.code()); w.Code != http.StatusSeeOther {
		t.Errorf("the step of somebody who is signed in: got %d %s, want it done", w.Code, note(w))
	}
	// A stolen cookie of a sign-in guesses no more than that, also where it changes its token by
	// signing out the others.
	c.now = c.now.Add(16 * time.Minute)
	guesses := 0
	for range 60 {
		if w := owner.post("/account/sign-out"); w.Code != http.StatusSeeOther {
			t.Fatalf("got %d %s", w.Code, note(w))
		}
		w := owner.post("/groups", "name", "g2", "of", "persons", "step-code", "000000")
		if w.Header().Get("Retry-After") != "" { // the page itself needs a gateway
			break
		}
		guesses++
	}
	if guesses != 10 {
		t.Errorf("got %d codes guessed with one sign-in, want 10", guesses)
	}
}

// The browser's cookie gives no right, is the account's alone, and is good for few tries wherever
// it is.
func TestBrowserCookie(t *testing.T) {
	c := newCastle(t)
	c.must("POST", "/v1/accounts", `{"name":"vic","role":"viewer","password":"`+password+`"}`, nil)
	const name = "__Host-latchkey-browser"
	owner := c.client("192.0.2.7:1")
	if ended := owner.signIn(); ended != "" {
		t.Fatal(ended)
	}
	stolen := owner.cookies[name]
	if stolen == "" || strings.Contains(stolen, "owner") {
		t.Fatalf("got the cookie %q, want one that names nobody", stolen)
	}
	if w := owner.get("/people", name); w.Code != http.StatusSeeOther {
		t.Errorf("the cookie alone: got %d, want that it lets nobody in", w.Code)
	}
	botnet := func() {
		for i := range 101 {
			c.client(fmt.Sprintf("203.0.%d.9:1", i)).guess()
		}
	}
	botnet()
	fresh := c.client("198.51.100.7:1")
	if ended := fresh.signIn(); !strings.HasPrefix(ended, "password: 429") {
		t.Fatalf("a new browser under attack from 101 networks: got %q, want that it waits, or this test shows nothing", ended)
	}
	vic := c.client("198.51.100.8:1")
	vic.post("/sign-in", "name", "vic", "password", password)
	for what, cookie := range map[string]string{"nothing": "", "noise": "x",
		"a cookie of another account": vic.cookies[name], "dots": "....",
		"another MAC": stolen[:len(stolen)-1] + "A", "no MAC": stolen[:strings.LastIndex(stolen, ".")+1],
		"a longer life": "1.9" + stolen[2:],
		"much":          strings.Repeat("1.", 4000)} {
		if cookie == stolen {
			continue // the one in 64 whose last character is A
		}
		b := c.client("198.51.100.9:1")
		b.cookies[name] = cookie
		if ended := b.signIn(); !strings.HasPrefix(ended, "password: 429") {
			t.Errorf("with %s: got %q, want it treated as a new browser", what, ended)
		}
	}
	thief := c.client("203.0.113.7:1")
	thief.cookies[name] = stolen
	guesses := 0
	for range 20 {
		if w := thief.guess(); w.Code == http.StatusTooManyRequests {
			break
		}
		guesses++
	}
	if guesses != 10 {
		t.Errorf("got %d guesses with a stolen cookie while strangers have none, want 10", guesses)
	}
	c.now = c.now.Add(400 * 24 * time.Hour)
	botnet()
	fresh.cookies[name] = stolen
	if ended := fresh.signIn(); !strings.HasPrefix(ended, "password: 429") {
		t.Errorf("after 400 days: got %q, want the cookie over", ended)
	}
}

// get asks for a page with only one of the cookies.
func (b *rawClient) get(path, only string) *httptest.ResponseRecorder {
	b.c.t.Helper()
	r := httptest.NewRequestWithContext(b.c.t.Context(), http.MethodGet, "https://door.example"+path, nil)
	r.RemoteAddr = b.addr
	r.AddCookie(&http.Cookie{Name: only, Value: b.cookies[only]})
	w := httptest.NewRecorder()
	b.c.console.ServeHTTP(w, r)
	return w
}

// Who keeps right passwords coming, without a second step, signs nobody out: what waits for its
// second step makes room first.
func TestPendingStepsMakeRoomFirst(t *testing.T) {
	c := newCastle(t)
	owner := c.client("192.0.2.7:1")
	if ended := owner.signIn(); ended != "" {
		t.Fatal(ended)
	}
	for i := range 30 {
		b := c.client(fmt.Sprintf("203.0.113.%d:1", i))
		if w := b.post("/sign-in", "name", "owner", "password", password); w.Code != http.StatusSeeOther {
			t.Fatalf("got %d %s", w.Code, note(w))
		}
	}
	deadlines := c.expiries()
	long := 0
	for _, at := range deadlines {
		if at.After(c.now.Add(time.Hour)) {
			long++
		}
	}
	if len(deadlines) != 31 || long != 1 {
		t.Errorf("got %d sign-ins kept, %d of them for long, want 31, and the owner's alone for long",
			len(deadlines), long)
	}
}

// attack says from where the i-th guess comes.
type attack func(i int) string

var attacks = map[string]attack{
	"from one address": func(int) string { return "203.0.113.9:1" },
	"from 1,000 addresses": func(i int) string {
		return fmt.Sprintf("100.%d.%d.9:1", 64+i%1000/250, i%250)
	},
	"from a /48": func(i int) string { return fmt.Sprintf("[2001:db8:bad:%x::1]:1", i%65536) },
}

// siege is so long an attack that never rests on an owner with password and one-time code, who
// signs in every four hours: from a browser that he has used before, with a passkey, and from a new
// browser each time. It reports how often the new browser got in.
func siege(t *testing.T, from attack, long time.Duration) {
	t.Helper()
	c := newCastle(t)
	k := newSoftKey(c, "owner")
	home := c.client("192.0.2.7:1")
	if ended := home.signIn(); ended != "" {
		t.Fatal(ended)
	}
	guesses, next, visits, fresh := 0, 0, 0, 0
	storm := func() { // takes what there is to take, and some more
		for waits := 0; waits < 12; next++ {
			if w := c.client(from(next)).guess(); w.Code == http.StatusTooManyRequests {
				waits++
			} else {
				guesses++
			}
		}
	}
	for start := c.now; c.now.Sub(start) < long; {
		for due := c.now.Add(4 * time.Hour); c.now.Before(due); c.now = c.now.Add(10 * time.Minute) {
			storm()
		}
		storm()
		visits++
		at := c.now.Sub(start).Round(time.Minute)
		home.post("/sign-out")
		home.guess() // he mistypes, too
		if ended := home.signIn(); ended != "" {
			t.Errorf("after %v, from a browser used before: %s", at, ended)
		}
		storm()
		b := c.client("192.0.2.9:1")
		if w := b.post("/sign-in/passkey", "step-passkey",
			k.sign("door.example", b.challenge())); w.Header().Get("Location") != "/" {
			t.Errorf("after %v, with a passkey: got %d %s", at, w.Code, note(w))
		}
		storm()
		if c.client("198.51.100.7:1").signIn() == "" {
			fresh++
		}
	}
	t.Logf("%v: %d guesses of the attacker's were checked; of %d visits from a new browser %d got in", long,
		guesses, visits, fresh)
	if name := t.Name(); (strings.Contains(name, "one_address") || strings.Contains(name, "48")) &&
		fresh != visits {
		t.Errorf("of %d visits from a new browser %d got in, want all: the attacker has one block of addresses", visits, fresh)
	}
}

// The same for two days is TestLongSiege.
func TestSiege(t *testing.T) {
	for name, attack := range attacks {
		t.Run(name, func(t *testing.T) { siege(t, attack, 4*time.Hour) })
	}
}

// The way in that is always there: the set-up code, which nobody can use up.
func TestSetUpIsOpenUnderSiege(t *testing.T) {
	h := emptyHouse(t)
	h.must("POST", "/v1/accounts", `{"name":"owner","role":"owner","password":"`+password+`"}`, nil)
	var code api.SetupCode
	h.must("POST", "/v1/setup/code", "", &code)
	thief, owner := h.browser(), h.browser() // of one address
	for range 40 {
		thief.do("POST", "/sign-in", url.Values{"name": {"owner"},
			"password": {"wrong wrong wrong"}}.Encode())
		resp, text := thief.do("POST", "/setup", url.Values{"name": {"owner"},
			"code": {"0000-0000-0000-0000"}, "password": {password}, "repeat": {password}}.Encode())
		if resp.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(text, "set-up code is wrong") {
			t.Fatalf("a wrong set-up code: got %s", resp.Status)
		}
	}
	if resp, _ := owner.do("POST", "/sign-in", url.Values{"name": {"owner"},
		"password": {password}}.Encode()); resp.StatusCode != http.StatusTooManyRequests {
		t.Fatalf("a new browser at the thief's address: got %s, want that it waits, or this test shows nothing", resp.Status)
	}
	fresh := "another horse battery"
	resp, text := owner.do("POST", "/setup", url.Values{"name": {"owner"}, "code": {code.Code},
		"password": {fresh}, "repeat": {fresh}}.Encode())
	if resp.StatusCode != http.StatusSeeOther {
		t.Fatalf("the set-up code: got %s %s, want the owner in", resp.Status, text)
	}
	if resp, _ := owner.do("GET", "/people", ""); resp.StatusCode != http.StatusOK {
		t.Errorf("got %s, want the owner signed in", resp.Status)
	}
	owner.do("POST", "/sign-out", "")
	if resp, _ := owner.do("POST", "/sign-in", url.Values{"name": {"owner"},
		"password": {fresh}}.Encode()); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("the same browser afterwards: got %s, want the owner in", resp.Status)
	}
}
