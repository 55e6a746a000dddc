package admin_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"latchkey/gateway/access"
	"latchkey/gateway/admin"
	"latchkey/gateway/audit"
)

// routes lists every route of the API, because a change of them changes what clients can rely on.
var routes = []string{
	"DELETE /v1/cards/{ref}", "DELETE /v1/devices/{ref}", "DELETE /v1/grants/{ref}",
	"DELETE /v1/groups/{ref}",
	"DELETE /v1/groups/{ref}/members/{member}", "DELETE /v1/persons/{ref}", "DELETE /v1/schedules/{ref}",
	"DELETE /v1/targets/{ref}",
	"GET /healthz", "GET /metrics", "GET /v1/audit/head", "GET /v1/cards", "GET /v1/cards/{ref}",
	"GET /v1/devices", "GET /v1/devices/{ref}", "GET /v1/doctor",
	"GET /v1/events", "GET /v1/events/stream", "GET /v1/grants", "GET /v1/grants/{ref}", "GET /v1/groups",
	"GET /v1/groups/{ref}", "GET /v1/latency",
	"GET /v1/persons", "GET /v1/persons/{ref}", "GET /v1/schedules", "GET /v1/schedules/{ref}",
	"GET /v1/site", "GET /v1/status",
	"GET /v1/targets", "GET /v1/targets/{ref}", "GET /v1/time",
	"PATCH /v1/cards/{ref}", "PATCH /v1/persons/{ref}", "PATCH /v1/schedules/{ref}", "PATCH /v1/site",
	"PATCH /v1/targets/{ref}",
	"POST /v1/audit/verify", "POST /v1/cards", "POST /v1/cards/learn", "POST /v1/devices",
	"POST /v1/devices/{ref}/keys", "POST /v1/devices/{ref}/revoke",
	"POST /v1/explain", "POST /v1/grants", "POST /v1/groups", "POST /v1/keys/{key}/revoke",
	"POST /v1/operate", "POST /v1/persons",
	"POST /v1/schedules", "POST /v1/targets", "POST /v1/time/trust",
	"PUT /v1/groups/{ref}/members/{member}", "PUT /v1/lockdown",
	"GET /v1/accounts", "POST /v1/accounts", "GET /v1/accounts/{ref}", "PATCH /v1/accounts/{ref}",
	"DELETE /v1/accounts/{ref}",
	"POST /v1/accounts/{ref}/sign-out",
	"POST /v1/accounts/{ref}/totp", "PUT /v1/accounts/{ref}/totp", "DELETE /v1/accounts/{ref}/totp",
	"POST /v1/accounts/{ref}/passkeys", "DELETE /v1/accounts/{ref}/passkeys/{id}",
	"POST /v1/accounts/{ref}/tokens", "DELETE /v1/accounts/{ref}/tokens/{id}",
	"GET /v1/alarms", "POST /v1/alarms/{seq}/acknowledge",
	"GET /v1/retention", "PUT /v1/retention", "POST /v1/retention/release",
	"GET /v1/sinks", "POST /v1/sinks", "GET /v1/sinks/{ref}", "PATCH /v1/sinks/{ref}",
	"DELETE /v1/sinks/{ref}",
	"POST /v1/sinks/{ref}/test", "GET /v1/sinks/{ref}/dead", "POST /v1/sinks/{ref}/dead/{seq}/retry",
	"GET /v1/integrations", "POST /v1/integrations", "GET /v1/integrations/{ref}",
	"PATCH /v1/integrations/{ref}", "DELETE /v1/integrations/{ref}", "POST /v1/integrations/{ref}/test",
	"PUT /v1/persons/{ref}/pin", "DELETE /v1/persons/{ref}/pin",
	"POST /v1/backup",
	"GET /v1/setup", "POST /v1/setup", "POST /v1/setup/code", "GET /v1/session", "POST /v1/session",
	"DELETE /v1/session",
	"GET /v1/session/client", "POST /v1/session/second", "POST /v1/session/step", "POST /v1/session/passkey",
	"PUT /v1/session/password",
	"POST /v1/session/passkeys", "POST /v1/session/passkeys/new",
}

func TestOpenAPI(t *testing.T) {
	s := newSite(t, func(c *admin.Config) { c.Metrics = http.NotFoundHandler() })
	code, text := s.do("GET", "/openapi.json", "")
	if code != 200 {
		t.Fatalf("got %d, want 200", code)
	}
	var doc struct {
		OpenAPI string
		Info    struct{ Title, Version string }
		Paths   map[string]map[string]struct {
			OperationID string
			Summary     string
			Parameters  []struct{ Name, In string }
			Responses   map[string]any
		}
		Components struct{ Schemas map[string]any }
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.1.") || doc.Info.Title != "latchkey" || doc.Info.Version != "test" {
		t.Errorf("got openapi %q of %q %q", doc.OpenAPI, doc.Info.Title, doc.Info.Version)
	}
	var got []string
	ids := map[string]bool{}
	for path, ops := range doc.Paths {
		for method, op := range ops {
			got = append(got, strings.ToUpper(method)+" "+path)
			if op.OperationID == "" || ids[op.OperationID] || op.Summary == "" || len(op.Responses) == 0 {
				t.Errorf("%s %s: want an id of its own, a summary and responses", method, path)
			}
			ids[op.OperationID] = true
			for _, m := range regexp.MustCompile(`\{(\w+)\}`).FindAllStringSubmatch(path, -1) {
				if !slices.ContainsFunc(op.Parameters,
					func(p struct{ Name, In string }) bool { return p.Name == m[1] && p.In == "path" }) {
					t.Errorf("%s %s: %s is not described", method, path, m[1])
				}
			}
		}
	}
	slices.Sort(got)
	want := slices.Sorted(slices.Values(routes))
	if !slices.Equal(got, want) {
		t.Errorf("got routes\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, m := range regexp.MustCompile(`"\$ref":"#/components/schemas/(\w+)"`).FindAllStringSubmatch(text,
		-1) {
		if doc.Components.Schemas[m[1]] == nil {
			t.Errorf("the document refers to schema %s, which is not in it", m[1])
		}
	}
	if code, text := s.do("GET", "/openapi.yaml", ""); code != 200 ||
		!strings.Contains(text, "openapi: 3.1.") {
		t.Errorf("yaml: got %d %.60q", code, text)
	}
	if strings.Contains(text, "http://") || strings.Contains(text, "https://") {
		for _, u := range regexp.MustCompile(`https?://[^"]+`).FindAllString(text, -1) {
			if !strings.HasPrefix(u, "https://example.com/") {
				t.Errorf("the document refers to %s", u)
			}
		}
	}
}

// An event may have other reasons than a decision has.
func TestOpenAPIHasAllReasons(t *testing.T) {
	s := newSite(t)
	_, text := s.do("GET", "/openapi.json", "")
	var doc struct {
		Components struct {
			Schemas map[string]struct {
				Properties map[string]struct{ Enum []access.Reason }
			}
		}
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	if got := doc.Components.Schemas["Event"].Properties["reason"].Enum; !slices.Equal(got, audit.Reasons) {
		t.Errorf("got %q, want %q", got, audit.Reasons)
	}
}
