package console_test

import (
	"strings"
	"testing"
)

// Every answer has the headers that restrict what a browser may do with it.
func TestHeaders(t *testing.T) {
	h := newHouse(t, here)
	b := h.newBrowser()
	for _, path := range []string{"/sign-in", "/", "/live", "/nothing", "/static/console.js", "/static/",
		"/api/v1/targets"} {
		resp, _ := b.do("GET", path, "")
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; " +
				"img-src 'self' data:; connect-src 'self'; " +
				"manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
			"X-Content-Type-Options":       "nosniff",
			"Referrer-Policy":              "same-origin",
			"Cross-Origin-Opener-Policy":   "same-origin",
			"Cross-Origin-Resource-Policy": "same-origin",
			"Strict-Transport-Security":    "", // it would affect every other program on localhost
		} {
			if got := resp.Header.Get(name); got != want {
				t.Errorf("%s: got %s %q, want %q", path, name, got, want)
			}
		}
		if got := resp.Header.Get("Cache-Control"); got != "no-store" && (path != "/static/console.js" ||
			!strings.Contains(got, "immutable")) {
			t.Errorf("%s: got Cache-Control %q, want that only static files are stored", path, got)
		}
	}
	b.header.Set("Host", "127.0.0.1")
	if resp, _ := b.do("GET", "/sign-in",
		""); resp.Header.Get("Strict-Transport-Security") != "max-age=31536000" {
		t.Errorf("got %q, want a year of HTTPS", resp.Header.Get("Strict-Transport-Security"))
	}
}
