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

// staffSite makes a site with an owner, ada, and an operator, oz.
func staffSite(t *testing.T, set ...func(*admin.Config)) *site {
	t.Helper()
	s := newSite(t, set...)
	s.must("POST", "/v1/accounts", `{"name":"ada","role":"owner","password":"`+adasPassword+`"}`, nil)
	s.must("POST", "/v1/accounts", `{"name":"oz","role":"operator"}`, nil)
	return s
}

func (s *site) findAccount(name string) (a api.Account) {
	s.t.Helper()
	s.must("GET", "/v1/accounts/"+name, "", &a)
	return a
}

// checkPassword tells whether the password is that of the account.
func (s *site) checkPassword(name, password string) bool {
	s.t.Helper()
	_, fits, err := s.unvouched.Accounts().CheckPassword(s.t.Context(), name, password)
	if err != nil {
		s.t.Fatal(err)
	}
	return fits
}

// checkCode tells whether the account accepts the one-time code now.
func (s *site) checkCode(name, code string) bool {
	s.t.Helper()
	return s.unvouched.Accounts().CheckCode(s.findAccount(name).ID, code)
}

func TestAccounts(t *testing.T) {
	s := staffSite(t)
	big := strings.Repeat("a", 64<<10)
	for _, tt := range []struct {
		name, method, path, body string
		code                     int
		want                     string // in the answer
	}{
		{"an owner without a secret in the answer", "GET", "/v1/accounts/ada", ``, 200,
			`"role":"owner","password":true,"totp":false,"passkeys":[],"tokens":[]`},
		{"an account without a password", "GET", "/v1/accounts/oz", ``, 200, `"password":false`},
		{"a taken name", "POST", "/v1/accounts", `{"name":"oz","role":"viewer"}`, 409, "the name is taken"},
		{"no such role", "POST", "/v1/accounts", `{"name":"x","role":"god"}`, 422, "role"},
		{"no role", "POST", "/v1/accounts", `{"name":"x"}`, 422, "role"},
		{"a name with a space", "POST", "/v1/accounts", `{"name":"a b","role":"viewer"}`, 422, "a-z"},
		{"a name in capitals", "POST", "/v1/accounts", `{"name":"Ada","role":"viewer"}`, 422, "a-z"},
		{"markup for a name", "POST", "/v1/accounts", `{"name":"<b>","role":"viewer"}`, 422, "a-z"},
		{"a formula for a name", "POST", "/v1/accounts", `{"name":"=1","role":"viewer"}`, 422, "a-z"},
		{"a name of 64 KB", "POST", "/v1/accounts", `{"name":"` + big + `","role":"viewer"}`, 422, "1 to 64"},
		{"a password of 9 bytes", "POST", "/v1/accounts",
			`{"name":"x","role":"viewer","password":"nine nine"}`, 422, "10 to 256"},
		{"a password of 64 KB", "POST", "/v1/accounts", `{"name":"x","role":"viewer","password":"` + big +
			`"}`, 422, "10 to 256"},
		{"a password that is not text", "POST", "/v1/accounts",
			"{\"name\":\"x\",\"role\":\"viewer\",\"password\":\"nine brown \xff\xfe\"}", 422, "not UTF-8"},
		{"a password with the name", "POST", "/v1/accounts",
			`{"name":"frida","role":"viewer","password":"itisFRIDAagain"}`, 422, "the name of the account"},
		{"a password that everybody tries", "POST", "/v1/accounts",
			`{"name":"x","role":"viewer","password":"Password123"}`, 422, "the first"},
		{"one letter many times", "POST", "/v1/accounts",
			`{"name":"x","role":"viewer","password":"zzzzzzzzzzzz"}`, 422, "the first"},
		{"a password that is refused is not repeated", "PATCH", "/v1/accounts/oz", `{"password":"short"}`,
			422, "password: "},
		{"the last owner stays an owner", "PATCH", "/v1/accounts/ada", `{"role":"admin"}`, 422,
			"make another owner first"},
		{"the last owner is not disabled", "PATCH", "/v1/accounts/ada", `{"disabled":true}`, 422,
			"make another owner first"},
		{"the last owner is not removed", "DELETE", "/v1/accounts/ada", ``, 422, "make another owner first"},
		{"another owner", "PATCH", "/v1/accounts/oz", `{"role":"owner"}`, 200, `"role":"owner"`},
		{"then the first owner may become a viewer", "PATCH", "/v1/accounts/ada", `{"role":"viewer"}`, 200,
			`"role":"viewer"`},
		{"a new name", "PATCH", "/v1/accounts/ada", `{"name":"ada2"}`, 200, `"name":"ada2"`},
		{"the old name is not found", "GET", "/v1/accounts/ada", ``, 404, "not found"},
		{"an unknown account", "PATCH", "/v1/accounts/eve", `{"role":"owner"}`, 404, "not found"},
		{"an account is removed", "DELETE", "/v1/accounts/ada2", ``, 200, "delete account ada2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, text := s.do(tt.method, tt.path, tt.body)
			if code != tt.code || !strings.Contains(text, tt.want) {
				t.Errorf("%s %s %.100s: got %d %.300s, want %d and %s", tt.method, tt.path, tt.body, code,
					text, tt.code, tt.want)
			}
			if strings.Contains(text, "short") || strings.Contains(text, "argon2") {
				t.Errorf("got %s: it shows a password or its hash", text)
			}
		})
	}
}

func TestPassword(t *testing.T) {
	s := staffSite(t)
	wrong := func(name, password string) string {
		a, fits, err := s.unvouched.Accounts().CheckPassword(t.Context(), name, password)
		return fmt.Sprintf("%+v %v %v", a, fits, err)
	}
	if !s.checkPassword("ada", adasPassword) {
		t.Fatal("the right password does not fit")
	}
	refused := wrong("ada", "nine brown fox")
	for name, text := range map[string]string{
		"an unknown name": wrong("eve", adasPassword), "an account without a password": wrong("oz",
			adasPassword), "an account without a password, and an empty password": wrong("oz", ""),
		"no name": wrong("", ""), "a name of 64 KB": wrong(strings.Repeat("a", 64<<10), "x"),
		"the name in capitals": wrong("ADA", adasPassword),
		"a password of 64 KB":  wrong("ada", strings.Repeat("a", 64<<10)),
		"the password and one more byte": wrong("ada",
			adasPassword+"\x00"),
	} {
		if text != refused || !strings.HasSuffix(text, " false <nil>") {
			t.Errorf("%s: got %s, want %s as for a wrong password", name, text, refused)
		}
	}
	epoch := s.findAccount("ada").Epoch
	s.must("PATCH", "/v1/accounts/ada", `{"password":"other brown foxes"}`, nil)
	if s.checkPassword("ada", adasPassword) || !s.checkPassword("ada", "other brown foxes") {
		t.Error("the old password still fits, or the new one does not")
	}
	if got := s.findAccount("ada").Epoch; got <= epoch {
		t.Errorf("got epoch %d, want it above %d, so that sessions end", got, epoch)
	}
	s.must("PATCH", "/v1/accounts/oz", `{"role":"owner","password":"seven green birds"}`, nil)
	s.must("PATCH", "/v1/accounts/ada", `{"disabled":true}`, nil)
	if got := wrong("ada", "other brown foxes"); got != refused {
		t.Errorf("disabled: got %s, want %s", got, refused)
	}
	s.must("PATCH", "/v1/accounts/ada", `{"disabled":false}`, nil)
	if !s.checkPassword("ada", "other brown foxes") {
		t.Error("the account is enabled again, but its password does not fit")
	}
}

// A sign-in with an unknown name takes as long as one with a known name, because the same hash is
// computed. If the times were far apart, an attacker could find out which accounts exist.
func TestUnknownNameTakesAsLong(t *testing.T) {
	s := staffSite(t)
	least := map[string]time.Duration{"ada": time.Hour, "eve": time.Hour, "oz": time.Hour}
	for range 8 { // in turn, so that a busy machine slows all of them
		for name, best := range least {
			began := time.Now()
			s.checkPassword(name, "not the password")
			least[name] = min(best, time.Since(began))
		}
	}
	known, unknown, without := least["ada"], least["eve"], least["oz"]
	t.Logf("known %v, unknown %v, without a password %v", known, unknown, without)
	// We only check that none of them skips the hash, which takes ten thousand times as long as the
	// rest.
	if unknown < known/20 || without < known/20 {
		t.Errorf("got %v for an unknown name and %v without a password, want as long as for a known one, %v",
			unknown, without, known)
	}
}

func TestAccountChangesEndSessions(t *testing.T) {
	s := staffSite(t)
	s.must("POST", "/v1/accounts", `{"name":"al","role":"owner","password":"seven green birds"}`, nil)
	epoch := func() uint64 { return s.findAccount("al").Epoch }
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
		{"the last second step removed", "DELETE", "/passkeys/AQID", ``, true},
	} {
		before := epoch()
		s.must(tt.method, "/v1/accounts/al"+tt.path, tt.body, nil)
		if got := epoch(); (got > before) != tt.ends {
			t.Errorf("%s: got epoch %d after %d, want that sessions end: %v", tt.name, got, before, tt.ends)
		}
	}
}
