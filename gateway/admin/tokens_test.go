package admin_test

import (
	"strings"
	"testing"
	"time"

	"latchkey/gateway/admin"
	"latchkey/gateway/admin/api"
)

func TestTokens(t *testing.T) {
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	r := &running{}
	s := staffSite(t, withLive(r), func(c *admin.Config) { c.Now = func() time.Time { return now } })
	var token, ending api.MintedToken
	s.must("POST", "/v1/accounts/oz/tokens", `{"label":"dusk","scopes":["lamps","read"]}`, &token)
	if len(token.Text) != 30 || !strings.HasPrefix(token.Text, "lkt-") || len(token.Scopes) != 2 {
		t.Fatalf("got a token of %d characters with %v", len(token.Text), token.Scopes)
	}
	s.must("POST", "/v1/accounts/oz/tokens",
		`{"label":"week","scopes":["read"],"until":"2026-12-04T12:00:00Z"}`, &ending)
	fits := func(text string) bool { _, _, ok := s.unvouched.Accounts().CheckToken(text); return ok }
	if of, got, ok := s.unvouched.Accounts().CheckToken(token.Text); !ok || of.Name != "oz" ||
		got.Label != "dusk" {
		t.Errorf("got %v of %s, want oz's token", got.Label, of.Name)
	}
	for name, text := range map[string]string{"nothing": "", "half of it": token.Text[:20],
		"in capitals": strings.ToUpper(token.Text), "one more character": token.Text + "0",
		"another": "lkt-00000000000000000000000000", "64 KB": strings.Repeat("a", 64<<10),
		"its id": string(token.ID)} {
		if of, got, ok := s.unvouched.Accounts().CheckToken(text); ok || of.ID != "" || got.ID != "" {
			t.Errorf("%s: got the token of %s, want none", name, of.Name)
		}
	}
	if fits(ending.Text) {
		t.Error("a token with an end fits although the clock is not trusted")
	}
	for name, tt := range map[string][2]string{
		"no scope":         {`{"label":"x","scopes":[]}`, "no scope"},
		"an unknown scope": {`{"label":"x","scopes":["all"]}`, "read, lamps, doors, manage"},
		"a label twice":    {`{"label":"dusk","scopes":["read"]}`, "already"},
		"no label":         {`{"label":"","scopes":["read"]}`, "label"},
		"an end in the past": {`{"label":"x","scopes":["read"],"until":"2026-11-27T12:00:00Z"}`,
			"over already"},
	} {
		if code, text := s.do("POST", "/v1/accounts/oz/tokens", tt[0]); code != 422 ||
			!strings.Contains(text, tt[1]) {
			t.Errorf("%s: got %d %s, want 422 and %s", name, code, text, tt[1])
		}
	}
	s.must("PATCH", "/v1/accounts/oz", `{"disabled":true}`, nil)
	if fits(token.Text) {
		t.Error("the token of a disabled account fits")
	}
	s.must("PATCH", "/v1/accounts/oz", `{"disabled":false}`, nil)
	s.must("DELETE", "/v1/accounts/oz/tokens/"+string(token.ID), "", nil)
	if fits(token.Text) {
		t.Error("a revoked token fits")
	}
	if code, _ := s.do("DELETE", "/v1/accounts/oz/tokens/"+string(token.ID), ""); code != 404 {
		t.Errorf("revoked twice: got %d, want 404", code)
	}
}

func TestTokenEnds(t *testing.T) {
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	s := staffSite(t, func(c *admin.Config) { c.Now = func() time.Time { return now } })
	var token api.MintedToken
	s.must("POST", "/v1/accounts/oz/tokens",
		`{"label":"week","scopes":["read"],"until":"2026-12-04T12:00:00Z"}`, &token)
	fits := func() bool { _, _, ok := s.unvouched.Accounts().CheckToken(token.Text); return ok }
	now = time.Date(2026, 12, 4, 11, 59, 59, 0, time.UTC)
	if !fits() {
		t.Error("the token ends a second too early")
	}
	if now = now.Add(time.Second); fits() {
		t.Error("the token fits at its end")
	}
}
