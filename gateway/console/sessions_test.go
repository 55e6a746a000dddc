package console_test

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"latchkey/gateway/console"
)

// What was given a while ago counts for a while, and not for longer when the clock goes back.
func TestStepsAndSignInsEnd(t *testing.T) {
	h := newHouse(t) // loopback is outside
	began := time.Now()
	now := began
	c, err := console.New(console.Config{API: h.gw.AdminHandler(), SignIns: h.store, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewTLSServer(c)
	defer server.Close()
	browser := server.Client()
	browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if browser.Jar, err = cookiejar.New(nil); err != nil {
		t.Fatal(err)
	}
	post := func(path string, form url.Values) (int, string) {
		t.Helper()
		resp, err := browser.PostForm(server.URL+path, form)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	signIn := func() {
		t.Helper()
		now = began
		if status, text := post("/sign-in", url.Values{"name": {"owner"}, "password": {password}}); status != http.StatusSeeOther {
			t.Fatalf("got %d %s, want the owner signed in", status, text)
		}
	}
	const confirmed, idle = 15 * time.Minute, 24 * time.Hour
	n := 0
	try := func() string {
		n++
		status, text := post("/groups", url.Values{"name": {"group-" + strings.Repeat("x", n)}, "of": {"persons"}, "step-code": {""}})
		switch {
		case status == http.StatusSeeOther:
			return "done"
		case status == http.StatusOK && strings.Contains(text, "step-password"):
			return "asked again"
		case status == http.StatusUnauthorized:
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
		{"just within a quarter of an hour", confirmed - time.Second, "done"},
		{"after a quarter of an hour", confirmed + time.Second, "asked again"},
		{"a clock that is corrected a little", -20 * time.Second, "done"},
		{"a clock of an hour ago", -time.Hour, "signed out"},
		{"just within a day", idle - time.Second, "asked again"},
		{"after a day without a visit", idle + time.Second, "signed out"},
	} {
		signIn()
		now = began.Add(tt.later)
		if got := try(); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
	signIn()
	now = began.Add(confirmed + time.Second)
	if status, text := post("/groups", url.Values{"name": {"g"}, "of": {"persons"}, "step-password": {"not it"}}); status == http.StatusSeeOther || !strings.Contains(text, "is wrong") {
		t.Errorf("a wrong password: got %d, want that it is wrong", status)
	}
	if status, _ := post("/groups", url.Values{"name": {"g"}, "of": {"persons"}, "step-password": {password}}); status != http.StatusSeeOther {
		t.Errorf("the right password with the form: got %d, want it done", status)
	}
}
