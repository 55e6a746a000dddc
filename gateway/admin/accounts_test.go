package admin_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"latchkey/gateway/admin"
	"latchkey/gateway/admin/api"
)

const adasPassword = "nine brown foxes"

// staffed is a site with an owner, ada, and an operator, oz.
func staffed(t *testing.T, set ...func(*admin.Config)) *site {
	t.Helper()
	s := newSite(t, set...)
	s.must("POST", "/v1/accounts", `{"name":"ada","role":"owner","password":"`+adasPassword+`"}`, nil)
	s.must("POST", "/v1/accounts", `{"name":"oz","role":"operator"}`, nil)
	return s
}

func (s *site) account(name string) (a api.Account) {
	s.t.Helper()
	s.must("GET", "/v1/accounts/"+name, "", &a)
	return a
}

// password tells whether a password is an account's.
func (s *site) password(name, password string) bool {
	s.t.Helper()
	_, fits, err := s.unvouched.Accounts().CheckPassword(s.t.Context(), name, password)
	if err != nil {
		s.t.Fatal(err)
	}
	return fits
}

// code tells whether a one-time code is an account's now.
func (s *site) code(name, code string) bool {
	s.t.Helper()
	return s.unvouched.Accounts().CheckCode(s.account(name).ID, code)
}

func TestAccounts(t *testing.T) {
	s := staffed(t)
	big := strings.Repeat("a", 64<<10)
	for _, tt := range []struct {
		name, method, path, body string
		code                     int
		want                     string // in the answer
	}{
		{"an owner without a secret in the answer", "GET", "/v1/accounts/ada", ``, 200, `"role":"owner","password":true,"totp":false,"passkeys":[],"tokens":[]`},
		{"one that nobody can sign in with yet", "GET", "/v1/accounts/oz", ``, 200, `"password":false`},
		{"a taken name", "POST", "/v1/accounts", `{"name":"oz","role":"viewer"}`, 409, "the name is taken"},
		{"no such role", "POST", "/v1/accounts", `{"name":"x","role":"god"}`, 422, "role"},
		{"no role", "POST", "/v1/accounts", `{"name":"x"}`, 422, "role"},
		{"a name with a space", "POST", "/v1/accounts", `{"name":"a b","role":"viewer"}`, 422, "a-z"},
		{"a name in capitals", "POST", "/v1/accounts", `{"name":"Ada","role":"viewer"}`, 422, "a-z"},
		{"markup for a name", "POST", "/v1/accounts", `{"name":"<b>","role":"viewer"}`, 422, "a-z"},
		{"a formula for a name", "POST", "/v1/accounts", `{"name":"=1","role":"viewer"}`, 422, "a-z"},
		{"a name of 64 KB", "POST", "/v1/accounts", `{"name":"` + big + `","role":"viewer"}`, 422, "1 to 64"},
		{"a password of 9 bytes", "POST", "/v1/accounts", `{"name":"x","role":"viewer","password":"nine nine"}`, 422, "10 to 256"},
		{"a password of 64 KB", "POST", "/v1/accounts", `{"name":"x","role":"viewer","password":"` + big + `"}`, 422, "10 to 256"},
		{"a password that is not text", "POST", "/v1/accounts",
			"{\"name\":\"x\",\"role\":\"viewer\",\"password\":\"nine brown \xff\xfe\"}", 422, "not UTF-8"},
		{"a password with the name", "POST", "/v1/accounts", `{"name":"frida","role":"viewer","password":"itisFRIDAagain"}`, 422, "the name of the account"},
		{"a password that everybody tries", "POST", "/v1/accounts", `{"name":"x","role":"viewer","password":"Password123"}`, 422, "the first"},
		{"one letter many times", "POST", "/v1/accounts", `{"name":"x","role":"viewer","password":"zzzzzzzzzzzz"}`, 422, "the first"},
		{"a password that is refused is not repeated", "PATCH", "/v1/accounts/oz", `{"password":"short"}`, 422, "password: "},
		{"the last owner stays an owner", "PATCH", "/v1/accounts/ada", `{"role":"admin"}`, 422, "make another owner first"},
		{"the last owner is not disabled", "PATCH", "/v1/accounts/ada", `{"disabled":true}`, 422, "make another owner first"},
		{"the last owner is not removed", "DELETE", "/v1/accounts/ada", ``, 422, "make another owner first"},
		{"another owner", "PATCH", "/v1/accounts/oz", `{"role":"owner"}`, 200, `"role":"owner"`},
		{"and the first may go down", "PATCH", "/v1/accounts/ada", `{"role":"viewer"}`, 200, `"role":"viewer"`},
		{"a new name", "PATCH", "/v1/accounts/ada", `{"name":"ada2"}`, 200, `"name":"ada2"`},
		{"under the old one there is nobody", "GET", "/v1/accounts/ada", ``, 404, "not found"},
		{"nobody", "PATCH", "/v1/accounts/eve", `{"role":"owner"}`, 404, "not found"},
		{"an account goes", "DELETE", "/v1/accounts/ada2", ``, 200, "delete account ada2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, text := s.do(tt.method, tt.path, tt.body)
			if code != tt.code || !strings.Contains(text, tt.want) {
				t.Errorf("%s %s %.100s: got %d %.300s, want %d and %s", tt.method, tt.path, tt.body, code,
					text, tt.code, tt.want)
			}
			if strings.Contains(text, "short") || strings.Contains(text, "argon2") {
				t.Errorf("got %s: a password, or what is kept of it, is there", text)
			}
		})
	}
}

func TestPassword(t *testing.T) {
	s := staffed(t)
	wrong := func(name, password string) string {
		a, fits, err := s.unvouched.Accounts().CheckPassword(t.Context(), name, password)
		return fmt.Sprintf("%+v %v %v", a, fits, err)
	}
	if !s.password("ada", adasPassword) {
		t.Fatal("the right password does not fit")
	}
	refused := wrong("ada", "nine brown fox")
	for name, text := range map[string]string{
		"an unknown name": wrong("eve", adasPassword), "an account without a password": wrong("oz",
			adasPassword), "an account without one, and none given": wrong("oz", ""),
		"no name": wrong("", ""), "a name of 64 KB": wrong(strings.Repeat("a", 64<<10), "x"),
		"the name in capitals": wrong("ADA", adasPassword),
		"a password of 64 KB":  wrong("ada", strings.Repeat("a", 64<<10)), "the same and more": wrong("ada",
			adasPassword+"\x00"),
	} {
		if text != refused || !strings.HasSuffix(text, " false <nil>") {
			t.Errorf("%s: got %s, want %s as for a wrong password", name, text, refused)
		}
	}
	epoch := s.account("ada").Epoch
	s.must("PATCH", "/v1/accounts/ada", `{"password":"other brown foxes"}`, nil)
	if s.password("ada", adasPassword) || !s.password("ada", "other brown foxes") {
		t.Error("the old password fits, or the new one does not")
	}
	if got := s.account("ada").Epoch; got <= epoch {
		t.Errorf("got epoch %d, want it above %d, so that sessions end", got, epoch)
	}
	s.must("PATCH", "/v1/accounts/oz", `{"role":"owner","password":"seven green birds"}`, nil)
	s.must("PATCH", "/v1/accounts/ada", `{"disabled":true}`, nil)
	if got := wrong("ada", "other brown foxes"); got != refused {
		t.Errorf("disabled: got %s, want %s", got, refused)
	}
	s.must("PATCH", "/v1/accounts/ada", `{"disabled":false}`, nil)
	if !s.password("ada", "other brown foxes") {
		t.Error("enabled again, the password does not fit")
	}
}

// An unknown name costs as much as a known one: the same hash is made. Where the times are far
// apart somebody can list the accounts.
func TestUnknownNameTakesAsLong(t *testing.T) {
	s := staffed(t)
	least := map[string]time.Duration{"ada": time.Hour, "eve": time.Hour, "oz": time.Hour}
	for range 8 { // in turn, so that a busy machine makes all of them slow
		for name, best := range least {
			began := time.Now()
			s.password(name, "not the password")
			least[name] = min(best, time.Since(began))
		}
	}
	known, unknown, without := least["ada"], least["eve"], least["oz"]
	t.Logf("known %v, unknown %v, without a password %v", known, unknown, without)
	// No time of its own is asserted, only that none of them skips the hash: it takes ten thousand
	// times as long as the rest.
	if unknown < known/20 || without < known/20 {
		t.Errorf("got %v for an unknown name and %v without a password, want as long as for a known one, %v",
			unknown, without, known)
	}
}

func TestAccountChangesEndSessions(t *testing.T) {
	s := staffed(t)
	s.must("POST", "/v1/accounts", `{"name":"al","role":"owner","password":"seven green birds"}`, nil)
	epoch := func() uint64 { return s.account("al").Epoch }
	for _, tt := range []struct {
		name, method, path, body string
		ends                     bool
	}{
		{"another role", "PATCH", "", `{"role":"admin"}`, true},
		{"the same role", "PATCH", "", `{"role":"admin"}`, false},
		{"disabled", "PATCH", "", `{"disabled":true}`, true},
		{"enabled", "PATCH", "", `{"disabled":false}`, false},
		{"another password", "PATCH", "", `{"password":"seven blue birds"}`, true},
		{"signed out everywhere", "POST", "/sign-out", ``, true},
		{"a token", "POST", "/tokens", `{"label":"x","scopes":["read"]}`, false},
		{"a passkey", "POST", "/passkeys", `{"label":"phone","id":"AQID","credential":{}}`, false},
		{"the last second step gone", "DELETE", "/passkeys/AQID", ``, true},
	} {
		before := epoch()
		s.must(tt.method, "/v1/accounts/al"+tt.path, tt.body, nil)
		if got := epoch(); (got > before) != tt.ends {
			t.Errorf("%s: got epoch %d after %d, want that sessions end: %v", tt.name, got, before, tt.ends)
		}
	}
}
