package admin_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"latchkey/gateway/admin"
	"latchkey/gateway/admin/api"
)

// Every hostile request gets a status of 4xx and a problem, and changes nothing.
func TestHostileRequests(t *testing.T) {
	s := furnishSite(t)
	before, _ := s.store.Head()
	big := strings.Repeat("a", 64<<10)
	deep := strings.Repeat(`[`, 200) + strings.Repeat(`]`, 200)
	deeper := strings.Repeat(`{"a":`, 100_000)
	for _, tt := range []struct{ name, method, path, body string }{
		{"a name of 64 KB", "POST", "/v1/persons", `{"name":"` + big + `"}`},
		{"a reference of 64 KB", "GET", "/v1/persons/" + big, ``},
		{"a card id that is too long", "GET", "/v1/cards/" + strings.Repeat("ab", 33), ``},
		{"a head that is too long", "POST", "/v1/audit/verify", `{"head":"1:` + strings.Repeat("ab", 33) +
			`"}`},
		{"a body over a megabyte", "POST", "/v1/persons", `{"name":"` + strings.Repeat(big, 20) + `"}`},
		{"control characters", "POST", "/v1/persons", `{"name":"a\u001b[31m"}`},
		{"a raw control character", "POST", "/v1/persons", "{\"name\":\"a\x1b\"}"},
		{"invisible characters", "POST", "/v1/persons", `{"name":"an\u200bn"}`},
		{"a line break", "POST", "/v1/targets", `{"name":"a\nb","kind":"door"}`},
		{"not UTF-8", "POST", "/v1/targets", "{\"name\":\"a\xff\",\"kind\":\"door\"}"},
		{"an empty name", "POST", "/v1/persons", `{"name":""}`},
		{"spaces for a name", "POST", "/v1/persons", `{"name":"  "}`},
		{"deep JSON", "POST", "/v1/persons", `{"name":` + deep + `}`},
		{"very deep JSON", "POST", "/v1/persons", deeper},
		{"an unknown member", "POST", "/v1/persons", `{"name":"x","admin":true}`},
		{"a member twice", "POST", "/v1/persons", `{"name":"x","name":"y"}`},
		{"a member in capitals", "POST", "/v1/persons", `{"NAME":"x"}`},
		{"null", "POST", "/v1/persons", `null`},
		{"null for a name", "POST", "/v1/persons", `{"name":null}`},
		{"a number for a name", "POST", "/v1/persons", `{"name":7}`},
		{"an array", "POST", "/v1/persons", `[]`},
		{"two values", "POST", "/v1/persons", `{"name":"x"}{"name":"y"}`},
		{"half a value", "POST", "/v1/persons", `{"name":"x"`},
		{"no body", "POST", "/v1/persons", ``},
		{"not JSON", "POST", "/v1/persons", `name=x`},
		{"a level of 256", "POST", "/v1/operate", `{"target":"desk","action":"level","level":256}`},
		{"a negative level", "POST", "/v1/explain", `{"person":"ann","target":"desk","level":-1}`},
		{"an invalid time", "POST", "/v1/cards", `{"person":"ann","uid":"01020304","from":"yesterday"}`},
		{"an end before the start", "POST", "/v1/cards",
			`{"person":"ann","uid":"01020304","from":"2026-02-01T00:00:00Z","until":"2026-01-01T00:00:00Z"}`},
		{"the wrong method", "DELETE", "/v1/persons", ``},
		{"an unknown method", "BREW", "/v1/persons", ``},
		{"no such path", "GET", "/v1/secrets", ``},
		{"a path upwards", "GET", "/v1/persons/%2E%2E", ``},
		{"a negative number", "GET", "/v1/events?from=-1", ``},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, text := s.do(tt.method, tt.path, tt.body)
			var problem struct {
				Status int
				Detail string
			}
			if err := json.Unmarshal([]byte(text), &problem); err != nil {
				t.Fatalf("got %d %.200q, want a problem", code, text)
			}
			if code < 400 || code > 499 || problem.Status != code || problem.Detail == "" ||
				len(text) > 2048 {
				t.Errorf("got %d %.300s, want a short problem of 4xx with a detail", code, text)
			}
		})
	}
	r := httptest.NewRequestWithContext(t.Context(), "POST", "/v1/persons", strings.NewReader(`{"name":"x"}`))
	r.Header.Set("Content-Type", "text/plain")
	w := httptest.NewRecorder()
	if s.ServeHTTP(w, r); w.Code != http.StatusUnsupportedMediaType {
		t.Errorf("plain text: got %d, want 415", w.Code)
	}
	if after, _ := s.store.Head(); after != before {
		t.Errorf("got %d events from hostile requests, want none", after-before)
	}
}

// A secret is only in the answer to the request that made it. A UID is in no answer, whatever was
// wrong with the request.
func TestSecretsLeaveOnce(t *testing.T) {
	var log bytes.Buffer
	s := newSite(t, func(c *admin.Config) {
		c.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	var all strings.Builder
	do := func(method, path, body string) string {
		_, text := s.do(method, path, body)
		all.WriteString(text + "\n")
		return text
	}
	do("POST", "/v1/targets", `{"name":"front-door","kind":"door"}`)
	var enrolled api.Enrolled
	s.must("POST", "/v1/devices", `{"name":"r","kind":"reader","targets":["front-door"]}`, &enrolled)
	secret := enrolled.Bundle.Secret
	if len(secret) != 26 || enrolled.Bundle.Identity != enrolled.Keys[0].ID {
		t.Fatalf("got a secret of %d characters for %s, want 26 for %s", len(secret),
			enrolled.Bundle.Identity, enrolled.Keys[0].ID)
	}
	do("POST", "/v1/persons", `{"name":"ann"}`)
	const uid = "04c0ffee123456"
	for _, body := range []string{
		`{"person":"ann","uid":"` + uid + `"}`,
		`{"person":"ann","uid":"` + uid + `"}`,
		`{"person":"bob","uid":"` + uid + `"}`,
		`{"person":"ann","uid":["` + uid + `"]}`,
		`{"person":"ann","uid":"` + uid + `00"}`,
		`{"person":"ann","uid":"` + uid + `","x":"` + uid + `"}`,
		`{"person":"ann","uid":"` + uid + `","from":"` + uid + `"}`,
		`{"person":"ann","uid":"` + uid,
	} {
		do("POST", "/v1/cards", body)
	}
	do("POST", "/v1/explain", `{"uid":"`+uid+`","target":"front-door"}`)
	do("POST", "/v1/explain", `{"uid":"`+uid+`","target":"nowhere"}`)
	for _, path := range listGetPaths(s) {
		do("GET", path, "")
	}
	do("POST", "/v1/devices/r/revoke", "")
	do("DELETE", "/v1/devices/r", "")
	do("GET", "/v1/events?from=1", "")
	for name, text := range map[string]string{"answers": all.String(), "log": log.String()} {
		if strings.Contains(text, secret) {
			t.Errorf("%s: the secret is in it", name)
		}
		if strings.Contains(text, uid[:8]) {
			t.Errorf("%s: the UID is in it: %s", name, text[max(strings.Index(text, uid[:8])-200, 0):][:300])
		}
	}
}

// listGetPaths returns a path for each GET operation of the document.
func listGetPaths(s *site) (paths []string) {
	var doc struct {
		Paths map[string]map[string]any
	}
	s.must("GET", "/openapi.json", "", &doc)
	for path, ops := range doc.Paths {
		if _, ok := ops["get"]; ok {
			paths = append(paths, strings.NewReplacer("{ref}", "r").Replace(path))
		}
	}
	return append(paths, "/openapi.json", "/openapi.yaml")
}

// With two handlers on one store, the store decides which change comes first, and no change is
// lost.
func TestConcurrentChanges(t *testing.T) {
	s := furnishSite(t)
	other := &site{t: t, store: s.store, Handler: serveAsTester(admin.New(admin.Config{Store: s.store}))}
	const n = 16
	var wg sync.WaitGroup
	codes := make([]int, n)
	for i := range n {
		wg.Go(func() {
			codes[i], _ = []*site{s, other}[i%2].do("POST", "/v1/persons", `{"name":"zoe"}`)
		})
	}
	wg.Wait()
	count := map[int]int{}
	for _, c := range codes {
		count[c]++
	}
	if count[http.StatusCreated] != 1 || count[http.StatusConflict] != n-1 {
		t.Errorf("adding one name %d times: got %v, want 1 created and the rest conflicts", n, count)
	}
	for i := range n {
		s.must("POST", "/v1/persons", fmt.Sprintf(`{"name":"p%d"}`, i), nil)
	}
	for i := range n {
		wg.Go(func() {
			if code, text := s.do("PUT", fmt.Sprintf("/v1/groups/staff/members/p%d", i), ""); code != 200 {
				t.Errorf("join: got %d %s", code, text)
			}
		})
	}
	wg.Wait()
	var g api.Group
	s.must("GET", "/v1/groups/staff", "", &g)
	if got, want := len(g.Members), n+1; got != want {
		t.Errorf("after %d joins at once: got %d members, want %d", n, got, want)
	}
}
