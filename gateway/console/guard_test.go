package console

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestKnowsHost(t *testing.T) {
	c := &Console{cfg: Config{Hosts: []string{"localhost", "door.example", "*.wild.example"}}}
	for host, want := range map[string]bool{
		"localhost": true, "localhost:8443": true, "LocalHost:8443": true, "door.example": true,
		"DOOR.EXAMPLE:443": true,
		"a.wild.example":   true, "a.wild.example:8443": true, "wild.example": false,
		"a.b.wild.example": false,
		"evil.example":     false, "door.example.evil.example": false, "evildoor.example": false,
		"a.door.example": false, "example": false,
		"127.0.0.1": true, "127.0.0.1:8443": true, "[::1]:8443": true, "[::1]": true, "192.0.2.1:8443": true,
		"": false, ":8443": false, "*.wild.example": true, "[": false, "door.example.": false,
	} {
		if got := c.knowsHost(host); got != want {
			t.Errorf("%q: got %v, want %v", host, got, want)
		}
	}
	if !(&Console{}).knowsHost("anything.example") {
		t.Error("without a list of names, every name must be accepted")
	}
}

func TestCleanPage(t *testing.T) {
	for to, want := range map[string]string{
		"/people?x=1": "/people?x=1", "/": "/", "": "/", "people": "/", "https://evil.example/": "/",
		"//evil.example/": "/", "/\\evil.example": "/",
		"\\\\evil.example": "/", "/%2F/evil.example": "/", "javascript:alert(1)": "/",
		"/a\r\nSet-Cookie: x": "/", "///evil.example": "/", "/events#x": "/events", ":": "/",
	} {
		if got := cleanPage(to); got != want {
			t.Errorf("%q: got %q, want %q", to, got, want)
		}
	}
}

func TestForeign(t *testing.T) {
	for _, tt := range []struct {
		name, method, site, mode, dest string
		want                           bool
	}{
		{"a client that is no browser", "POST", "", "", "", false},
		{"somebody who types the address", "GET", "none", "navigate", "document", false},
		{"a page of ours", "POST", "same-origin", "navigate", "document", false},
		{"a link from another site", "GET", "cross-site", "navigate", "document", false},
		{"a form of another site", "POST", "cross-site", "navigate", "document", true},
		{"a link in a frame of another site", "GET", "cross-site", "navigate", "iframe", true},
		{"a frame of our own", "GET", "same-origin", "navigate", "iframe", true},
		{"an object", "GET", "same-origin", "navigate", "object", true},
		{"a picture on another site", "GET", "cross-site", "no-cors", "image", true},
		{"a script of another port of this host", "GET", "same-site", "cors", "empty", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(tt.method, "/", nil)
			for name, value := range map[string]string{"Sec-Fetch-Site": tt.site, "Sec-Fetch-Mode": tt.mode,
				"Sec-Fetch-Dest": tt.dest} {
				if value != "" {
					r.Header.Set(name, value)
				}
			}
			if got := foreign(r); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// A page that came from the same host without TLS counts as foreign, since anybody in between can
// have written it.
func TestOriginIsComparedWithItsScheme(t *testing.T) {
	for _, tt := range []struct {
		host, origin, site string
		want               int
	}{
		{"door.example", "https://door.example", "", 200},
		{"door.example", "https://door.example", "same-origin", 200},
		{"door.example:8443", "https://door.example:8443", "", 200},
		{"[2001:db8::1]:8443", "https://[2001:db8::1]:8443", "", 200},
		{"door.example", "", "", 200},
		{"door.example", "null", "same-origin", 200},
		{"door.example", "http://door.example", "", 403},
		{"door.example:8443", "http://door.example:8443", "", 403},
		{"door.example", "http://door.example", "same-origin", 403},
		{"door.example", "https://door.example:8443", "", 403},
		{"door.example:8443", "https://door.example", "", 403},
		{"door.example", "https://evil.example", "", 403},
		{"door.example", "https://door.example.evil.example", "", 403},
		{"door.example", "null", "", 403},
		{"door.example", "null", "cross-site", 403},
		{"door.example", "door.example", "", 403},
		{"door.example", "chrome-extension://door.example", "", 403},
	} {
		for _, method := range []string{http.MethodPost, http.MethodGet} {
			r := httptest.NewRequest(method, "https://"+tt.host+"/", nil)
			for name, value := range map[string]string{"Origin": tt.origin, "Sec-Fetch-Site": tt.site} {
				if value != "" {
					r.Header.Set(name, value)
				}
			}
			w := httptest.NewRecorder()
			nothing := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
			(&Console{}).guardHandler(nothing).ServeHTTP(w, r)
			if w.Code != tt.want {
				t.Errorf("%s to %s from %q, %q: got %d, want %d", method, tt.host, tt.origin, tt.site, w.Code,
					tt.want)
			}
		}
	}
}
