package admin_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"latchkey/gateway/admin"
	"latchkey/gateway/store"
)

// site is a handler over a real store in memory.
type site struct {
	t     *testing.T
	store *store.Store
	http.Handler
}

func newSite(t *testing.T, set ...func(*admin.Config)) *site {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{InMemory: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Check(t.Context()); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	cfg := admin.Config{Store: s, Actor: "tester", GatewayAddr: "door.example:5684", Version: "test"}
	for _, f := range set {
		f(&cfg)
	}
	return &site{t, s, admin.New(cfg)}
}

// do sends one request and returns the status and the body.
func (s *site) do(method, path, body string) (int, string) {
	s.t.Helper()
	r := httptest.NewRequestWithContext(s.t.Context(), method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	b, err := io.ReadAll(w.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return w.Code, string(bytes.TrimSpace(b))
}

// must is do for a request that works; it fills into.
func (s *site) must(method, path, body string, into any) {
	s.t.Helper()
	code, text := s.do(method, path, body)
	if code/100 != 2 {
		s.t.Fatalf("%s %s %s: got %d %s", method, path, body, code, text)
	}
	if into != nil {
		if err := json.Unmarshal([]byte(text), into); err != nil {
			s.t.Fatalf("%s %s: %v in %s", method, path, err, text)
		}
	}
}

func TestSmoke(t *testing.T) {
	s := newSite(t)
	for _, r := range [][3]string{
		{"POST", "/v1/targets", `{"name":"front-door","kind":"door","pulse":"3s"}`},
		{"GET", "/v1/targets", ""},
		{"POST", "/v1/devices", `{"name":"front-reader","kind":"reader","targets":["front-door"]}`},
		{"POST", "/v1/persons", `{"name":"ann"}`},
		{"POST", "/v1/persons", `{"name":"ann"}`},
		{"POST", "/v1/persons", `{"name":"ann","x":1}`},
		{"POST", "/v1/persons", `{"name":"ann","name":"b"}`},
		{"POST", "/v1/persons", `{"name":"ann"`},
		{"POST", "/v1/persons", `{}`},
		{"POST", "/v1/cards", `{"person":"ann","uid":"04a1b2c3d4e580"}`},
		{"POST", "/v1/cards", `{"person":"ann","uid":["04a1b2c3d4e580"]}`},
		{"POST", "/v1/grants", `{"person":"ann","target":"front-door"}`},
		{"GET", "/v1/grants?person=ann", ""},
		{"GET", "/v1/grants?nix=ann", ""},
		{"GET", "/v1/persons", ""},
		{"GET", "/v1/devices", ""},
		{"PUT", "/v1/devices", ""},
		{"GET", "/v1/nix", ""},
		{"GET", "/v1/events", ""},
		{"PUT", "/v1/lockdown", `{"on":true}`},
		{"PUT", "/v1/lockdown", `{"on":true}`},
		{"POST", "/v1/explain", `{"uid":"04:A1:B2:C3:D4:E5:80","target":"front-door"}`},
		{"POST", "/v1/explain", `{"person":"ann","target":"front-door"}`},
		{"POST", "/v1/devices/front-reader/revoke", ``},
		{"POST", "/v1/time/trust", ``},
		{"POST", "/v1/audit/verify", `{}`},
		{"GET", "/v1/audit/head", ``},
		{"POST", "/v1/operate", `{"target":"front-door","action":"unlock"}`},
		{"DELETE", "/v1/persons/ann", ``},
		{"DELETE", "/v1/targets/front-door", ``},
		{"GET", "/healthz", ``},
	} {
		code, text := s.do(r[0], r[1], r[2])
		t.Log(r, code, text)
	}
}
