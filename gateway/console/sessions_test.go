package console_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// A sign-in and a second step are valid for a limited time, and not for longer if the clock is set
// back.
func TestStepsAndSignInsEnd(t *testing.T) {
	h, ahead := newHouse(t).withClock() // loopback is outside
	b := h.newBrowser()
	const confirmed, idle = 15 * time.Minute, 24 * time.Hour
	n := 0
	try := func() string {
		n++
		resp, text := b.do("POST", "/groups", url.Values{"name": {"group-" + strings.Repeat("x", n)},
			"of": {"persons"}}.Encode())
		switch {
		case resp.StatusCode == http.StatusSeeOther:
			return "done"
		case resp.StatusCode == http.StatusOK && strings.Contains(text, "step-password"):
			return "asked again"
		case resp.StatusCode == http.StatusUnauthorized:
			return "signed out"
		}
		return text
	}
	for _, tt := range []struct {
		name  string
		later time.Duration
		want  string
	}{
		{"at once", 0, "done"},
		{"just within a quarter of an hour", confirmed - 10*time.Second, "done"},
		{"after a quarter of an hour", confirmed + time.Second, "asked again"},
		{"the clock is set back a little", -20 * time.Second, "done"},
		{"the clock is set back an hour", -time.Hour, "signed out"},
		{"just within a day", idle - 10*time.Second, "asked again"},
		{"after a day without a visit", idle + time.Second, "signed out"},
	} {
		ahead(0)
		b.signIn("owner")
		ahead(tt.later)
		if got := try(); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
	ahead(0)
	b.signIn("owner")
	ahead(confirmed + time.Second)
	if resp, text := b.do("POST", "/account/sign-out", ""); resp.StatusCode != http.StatusSeeOther {
		t.Fatalf("sign out everywhere else: got %s %s", resp.Status, text)
	}
	if got := try(); got != "asked again" {
		t.Errorf("after signing out everywhere else, which needs no step: got %s, want asked again", got)
	}
	if resp, text := b.do("POST", "/groups",
		"name=g&of=persons&step-password=not+it"); resp.StatusCode == http.StatusSeeOther ||
		!strings.Contains(text, "is wrong") {
		t.Errorf("a wrong password: got %s, want it refused as wrong", resp.Status)
	}
	if resp, text := b.do("POST", "/groups", url.Values{"name": {"g"}, "of": {"persons"},
		"step-password": {password}}.Encode()); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("the right password with the form: got %s %s, want the group made", resp.Status, text)
	}
}
