package admin_test

import (
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"latchkey/gateway/admin"
	"latchkey/gateway/admin/api"
)

func TestOneTimeCodes(t *testing.T) {
	now := time.Date(2026, 11, 27, 12, 0, 10, 0, time.UTC)
	s := staffSite(t, func(c *admin.Config) { c.Now = func() time.Time { return now } })
	var made api.TOTPSecret
	s.must("POST", "/v1/accounts/ada/totp", "", &made)
	if len(made.Secret) != 32 || !strings.HasPrefix(made.URI, "otpauth://totp/latchkey:ada?") {
		t.Fatalf("got a secret of %d characters and the URI %.40s", len(made.Secret), made.URI)
	}
	code := func(steps int) string {
		c, err := totp.GenerateCode(made.Secret, now.Add(time.Duration(steps)*30*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	set := func(secret, code string) (int, string) {
		return s.do("PUT", "/v1/accounts/ada/totp", `{"secret":"`+secret+`","code":"`+code+`"}`)
	}
	fits := func(code string) bool { return s.checkCode("ada", code) }
	if fits(code(0)) || s.findAccount("ada").TOTP {
		t.Error("a secret that was made but not set is already required")
	}
	for name, tt := range map[string][2]string{
		"a wrong code": {made.Secret, "000000"}, "a code of two steps ago": {made.Secret, code(-2)},
		"a short secret": {"GEZDGNBV", code(0)},
		"no base32":      {"!!!!" + made.Secret, code(0)}, "no secret": {"", code(0)},
		"no code": {made.Secret, ""}, "a long code": {made.Secret, "123456123456"},
	} {
		if status, text := set(tt[0], tt[1]); status != 422 || s.findAccount("ada").TOTP {
			t.Errorf("%s: got %d %s, want 422", name, status, text)
		}
	}
	if status, text := set(strings.ToLower(made.Secret), code(0)[:3]+" "+code(0)[3:]); status != 200 ||
		!s.findAccount("ada").TOTP {
		t.Fatalf("got %d %s, want that codes are required now, whatever their spaces and case", status, text)
	}
	for _, tt := range []struct {
		name string
		code string
		want bool
	}{
		{"the code that set it, again", code(0), false},
		{"the one before it", code(-1), false},
		{"the next, for a clock that is ahead", code(1), true},
		{"the same again", code(1), false},
		{"the one after the next", code(2), false},
		{"nothing", "", false},
		{"letters", "abcdef", false},
	} {
		if got := fits(tt.code); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
	now = now.Add(time.Minute)
	if !fits(code(0)) {
		t.Error("a minute later: the present code does not fit")
	}
	if s.checkCode("oz", code(1)) {
		t.Error("the code fits another account")
	}
	s.must("DELETE", "/v1/accounts/ada/totp", "", nil)
	if fits(code(1)) || s.findAccount("ada").TOTP {
		t.Error("codes still fit after they were removed")
	}
}

func TestPasskeys(t *testing.T) {
	s := staffSite(t)
	add := func(body string) (int, string) { return s.do("POST", "/v1/accounts/ada/passkeys", body) }
	for _, tt := range []struct {
		name, body string
		code       int
		want       string
	}{
		{"a passkey", `{"label":"phone","id":"AQID","credential":{"publicKey":"x", "counter": 1}}`, 201,
			`"credential":{"publicKey":"x","counter":1}`},
		{"the same id", `{"label":"other","id":"AQID","credential":{}}`, 422, "there twice"},
		{"no id", `{"label":"x","id":"","credential":{}}`, 422, "id"},
		{"an id of 1024 bytes", `{"label":"x","id":"` + strings.Repeat("AAAA", 342) + `","credential":{}}`,
			422, "1 to 1023"},
		{"no label", `{"label":"","id":"AQIE","credential":{}}`, 422, "label"},
		{"a label that writes to a terminal", `{"label":"a\u001b[2J","id":"AQIE","credential":{}}`,
			422, "label"},
		{"a credential that is no object", `{"label":"x","id":"AQIE","credential":[]}`, 422, "object"},
		{"a credential of 64 KB", `{"label":"x","id":"AQIE","credential":{"a":"` +
			strings.Repeat("a", 64<<10) + `"}}`, 422, "8192"},
		{"no credential", `{"label":"x","id":"AQIE"}`, 422, "credential"},
	} {
		if code, text := add(tt.body); code != tt.code || !strings.Contains(text, tt.want) {
			t.Errorf("%s: got %d %.300s, want %d and %s", tt.name, code, text, tt.code, tt.want)
		}
	}
	for _, id := range []string{"AQIE", "AQID=", "!", strings.Repeat("A", 5000)} {
		if code, text := s.do("DELETE", "/v1/accounts/ada/passkeys/"+id, ""); code != 404 {
			t.Errorf("%.10s: got %d %.200s, want 404", id, code, text)
		}
	}
	for i := range 15 {
		add(`{"label":"x","id":"` + string(rune('B'+i)) + `AAA","credential":{}}`)
	}
	if code, text := add(`{"label":"x","id":"ZAAA","credential":{}}`); code != 422 ||
		!strings.Contains(text, "16 at most") {
		t.Errorf("the seventeenth: got %d %s, want 422", code, text)
	}
	s.must("DELETE", "/v1/accounts/ada/passkeys/AQID", "", nil)
	if n := len(s.findAccount("ada").Passkeys); n != 15 {
		t.Errorf("got %d passkeys, want 15", n)
	}
}
