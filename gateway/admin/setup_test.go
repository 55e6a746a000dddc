package admin_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"latchkey/gateway/admin"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/store"
)

func TestSetUp(t *testing.T) {
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	s := newSite(t, withLive(&running{}),
		func(c *admin.Config) {
			c.Now = func() time.Time { return now }
			c.ConsoleURL = "https://door.example/"
		})
	needed := func() (got api.Setup) {
		s.must("GET", "/v1/setup", "", &got)
		var session api.Session
		if s.must("GET", "/v1/session", "", &session); session.SetUp != got.Needed {
			t.Errorf("the session says that a set-up is needed: %v, want %v", session.SetUp, got.Needed)
		}
		return got
	}
	mint := func() string {
		var got api.SetupCode
		s.must("POST", "/v1/setup/code", "", &got)
		return got.Code
	}
	use := func(code, name string) (int, string) {
		return s.do("POST", "/v1/setup",
			`{"code":"`+code+`","name":"`+name+`","password":"`+adasPassword+`"}`)
	}
	if got := needed(); !got.Needed || got.URL != "https://door.example/" {
		t.Errorf("got %+v, want that a set-up is needed", got)
	}
	if status, _ := use("", "ada"); status != 403 {
		t.Errorf("before there is a code: got %d, want 403", status)
	}
	first := mint()
	code := mint()
	if code == first || len(code) != 19 {
		t.Fatalf("got codes of %d and %d characters, want two", len(first), len(code))
	}
	for name, text := range map[string]string{"none": "", "an older code": first,
		"a wrong one": "0000-0000-0000-0000", "half of it": code[:9]} {
		if status, answer := use(text, "ada"); status != 403 || strings.Contains(answer, code) ||
			!strings.Contains(answer, "latchkey console setup") {
			t.Errorf("%s: got %d %s, want 403 and how to get a code", name, status, answer)
		}
	}
	if status, text := s.do("POST", "/v1/setup",
		`{"code":"`+code+`","name":"ada","password":"short"}`); status != 422 {
		t.Errorf("a short password: got %d %s, want 422, and the code still valid", status, text)
	}
	if status, text := use(strings.ToUpper(strings.ReplaceAll(code, "-", " ")), "ada"); status != 200 ||
		!strings.Contains(text, `"role":"owner"`) {
		t.Fatalf("got %d %s, want an owner", status, text)
	}
	if needed().Needed {
		t.Error("an account was made, but a set-up is still needed")
	}
	if status, _ := use(code, "eve"); status != 403 {
		t.Errorf("the second time: got %d, want 403", status)
	}
	// An owner who has lost password and phone gets back in. Whatever somebody else had put into
	// the account is removed.
	s.must("PATCH", "/v1/accounts/ada", `{"password":"stolen brown foxes"}`, nil)
	s.must("POST", "/v1/accounts/ada/tokens", `{"label":"x","scopes":["doors"]}`, nil)
	s.must("POST", "/v1/accounts/ada/passkeys", `{"label":"x","id":"AQID","credential":{}}`, nil)
	before := s.findAccount("ada")
	if status, text := use(mint(), "ada"); status != 200 {
		t.Fatalf("got %d %s, want the account back", status, text)
	}
	if a := s.findAccount("ada"); a.ID != before.ID || len(a.Passkeys)+len(a.Tokens) != 0 ||
		a.Epoch <= before.Epoch || !s.checkPassword("ada", adasPassword) {
		t.Errorf("got %+v, want it without passkeys, tokens and sessions, and with the new password", a)
	}
	late := mint()
	now = now.Add(24 * time.Hour)
	if status, _ := use(late, "eve"); status != 403 {
		t.Errorf("after a day: got %d, want 403", status)
	}
	guessed := mint()
	for range 1000 {
		if status, _ := use("0000-0000-0000-0000", "eve"); status != 403 {
			t.Fatalf("a guess: got %d, want 403", status)
		}
	}
	if status, text := use(guessed, "ada"); status != 200 {
		t.Errorf("after many guesses: got %d %s, want the code still valid, as it is the owner's way back in",
			status, text)
	}
	if status, text := newSite(t).do("POST", "/v1/setup/code", ""); status != 503 ||
		!strings.Contains(text, api.TypeNoGateway) {
		t.Errorf("without a gateway: got %d %s, want 503, as the code would be lost at once", status, text)
	}
}

// Every sign-in makes an event, whatever was typed.
func TestSignIns(t *testing.T) {
	s := newSite(t)
	for _, tt := range []struct {
		name, account, from, how string
		failed                   int
		actor, detail            string
	}{
		{"signed in", "ada", "192.0.2.1", "password and passkey", 0, "ada",
			"from 192.0.2.1, with password and passkey"},
		{"refused", "ada", "192.0.2.1", "password", 7, "ada",
			"from 192.0.2.1: refused 7 times, the last for password"},
		{"a name with a control sequence", "a\x1b[2Jb", "x", "password", 1, `"a\x1b[2Jb"`,
			"from x: refused for password"},
		{"64 KB", strings.Repeat("a", 64<<10), "x", "password", 0, strings.Repeat("a", 64) + "…",
			"from x, with password"},
		{"nothing", "", "", "", 0, `""`, `from "", with ""`},
	} {
		seq, err := s.unvouched.Accounts().RecordSignIn(t.Context(), tt.account, tt.from, tt.how, tt.failed)
		if err != nil {
			t.Fatal(err)
		}
		events, err := s.store.Events(t.Context(), seq, 1)
		if err != nil || len(events) != 1 || events[0].Actor != tt.actor || events[0].Detail != tt.detail ||
			events[0].Kind != "sign-in" || events[0].Granted != (tt.failed == 0) ||
			(events[0].Reason == "granted") != events[0].Granted {
			t.Errorf("%s: got %+v, %v, want %s %s", tt.name, events, err, tt.actor, tt.detail)
		}
	}
}

// A secret with which somebody can sign in is only in the answer to the request that made it: in no
// other answer, event or log, and not on disk.
func TestAccountSecretsLeaveOnce(t *testing.T) {
	var log, all bytes.Buffer
	dir := t.TempDir()
	st, err := store.Open(t.Context(), store.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, withLive(&running{}), func(c *admin.Config) {
		c.Store, c.Log = st, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	do := func(method, path, body string) {
		_, text := s.do(method, path, body)
		all.WriteString(text + "\n")
	}
	var setup api.SetupCode
	s.must("POST", "/v1/setup/code", "", &setup)
	do("POST", "/v1/setup", `{"code":"`+setup.Code+`","name":"ada","password":"`+adasPassword+`"}`)
	var made api.TOTPSecret
	s.must("POST", "/v1/accounts/ada/totp", "", &made)
	code, err := totp.GenerateCode(made.Secret, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	do("PUT", "/v1/accounts/ada/totp", `{"secret":"`+made.Secret+`","code":"`+code+`"}`)
	do("PUT", "/v1/accounts/ada/totp", `{"secret":"`+made.Secret+`","code":"x"}`)
	var token api.MintedToken
	s.must("POST", "/v1/accounts/ada/tokens", `{"label":"x","scopes":["read"]}`, &token)
	do("POST", "/v1/session/second", `{"code":"`+code+`"}`)
	do("POST", "/v1/session", `{"name":"ada","password":"`+adasPassword+`"}`)
	do("POST", "/v1/session", `{"name":"ada","password":["`+adasPassword+`"]}`)
	do("PATCH", "/v1/accounts/ada", `{"password":"`+adasPassword+`","x":1}`)
	for _, path := range listGetPaths(s) {
		if path != "/v1/events/stream" { // it does not end, and /v1/events has the same events
			do("GET", path, "")
		}
	}
	do("GET", "/v1/accounts", "")
	do("GET", "/v1/events?from=1", "")
	if !strings.Contains(all.String(), "ada") || !strings.Contains(all.String(),
		"set one-time codes of account ada") {
		t.Fatal("the account and its codes are not in the answers, so this test shows nothing")
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	disk := map[string][]byte{}
	err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			disk[path], err = os.ReadFile(path)
		}
		return err
	})
	if err != nil || len(disk) < 3 {
		t.Fatalf("got %d files, %v", len(disk), err)
	}
	for what, secret := range map[string]string{"password": adasPassword, "set-up code": setup.Code,
		"secret of one-time codes": made.Secret, "token": token.Text,
		"hash of the password": "argon2id"} {
		for where, text := range map[string][]byte{"an answer": all.Bytes(), "the log": log.Bytes()} {
			if bytes.Contains(text, []byte(secret)) {
				t.Errorf("the %s is in %s", what, where)
			}
		}
		for path, text := range disk {
			if bytes.Contains(text, []byte(secret)) {
				t.Errorf("the %s is in %s", what, filepath.Base(path))
			}
		}
	}
}
