package console_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"latchkey/gateway/admin/api"
	"latchkey/gateway/console"
)

// open lists the routes that need no sign-in.
var open = map[string]bool{"GET /sign-in": true, "POST /sign-in": true, "GET /sign-in/second": true,
	"POST /sign-in/second": true, "GET /setup": true, "POST /setup": true,
	"POST /sign-in/passkey": true, "POST /passkey": true}

// listPatterns returns the patterns of all pages and forms of the console.
func listPatterns(t *testing.T, h *house) []string {
	t.Helper()
	c, err := console.New(console.Config{API: h.gw.AdminHandler()})
	if err != nil {
		t.Fatal(err)
	}
	all := c.Patterns()
	if len(all) < 50 {
		t.Fatalf("got %d routes, want all of them", len(all))
	}
	return all
}

// splitPattern returns the method of a pattern and a path that matches it, with names of records
// that exist.
func splitPattern(pattern string) (method, path string) {
	method, path, _ = strings.Cut(pattern, " ")
	path = strings.ReplaceAll(path, "{$}", "")
	for name, value := range map[string]string{"target": "hall", "person": "ann", "card": "e580",
		"device": "front-lock", "account": "owner"} {
		path = strings.ReplaceAll(path, "{"+name+"}", value)
	}
	return method, regexp.MustCompile(`\{\w+\}`).ReplaceAllString(path, "nothing")
}

// Every route refuses requests without a sign-in, from another site or in a frame, and they change
// nothing.
func TestEveryRouteRefuses(t *testing.T) {
	h := newHouse(t, here)
	h.addAccount("vic", "viewer")
	h.addAccount("oz", "operator")
	h.addAccount("al", "admin")
	all := listPatterns(t, h)
	nobody, owner := h.newBrowser(), h.newBrowser().signIn("owner")
	var before, after api.Head
	h.must("GET", "/v1/audit/head", "", &before)
	for _, pattern := range all {
		method, path := splitPattern(pattern)
		if !open[pattern] {
			resp, text := nobody.do(method, path, "")
			to := resp.Header.Get("Location")
			if method == "GET" && path != "/live" && (resp.StatusCode != http.StatusSeeOther ||
				!strings.HasPrefix(to, "/sign-in")) {
				t.Errorf("%s, not signed in: got %s to %q, want to be sent to sign in", pattern, resp.Status,
					to)
			}
			if (method == "POST" || path == "/live") && resp.StatusCode/100 == 2 {
				t.Errorf("%s, not signed in: got %s %.100s, want it refused", pattern, resp.Status, text)
			}
			if strings.Contains(text, "front-door") {
				t.Errorf("%s shows front-door to somebody who is not signed in", pattern)
			}
		}
		for _, headers := range []map[string]string{
			{"Sec-Fetch-Dest": "iframe", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "cross-site"},
			{"Sec-Fetch-Dest": "image", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Site": "cross-site"},
			{"Sec-Fetch-Dest": "empty", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-site"},
			{"Sec-Fetch-Dest": "iframe", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "same-origin"},
			{"Host": "evil.example"},
		} {
			for name, value := range headers {
				owner.header.Set(name, value)
			}
			if resp, _ := owner.do(method, path, ""); resp.StatusCode != http.StatusForbidden &&
				resp.StatusCode != http.StatusMisdirectedRequest {
				t.Errorf("%s with %v: got %s, want it refused", pattern, headers, resp.Status)
			}
			clear(owner.header)
		}
		if method == "POST" {
			for name, value := range map[string]string{"Origin": "https://evil.example",
				"Sec-Fetch-Site": "cross-site"} {
				owner.header.Set(name, value)
				if resp, _ := owner.do(method, path, ""); resp.StatusCode != http.StatusForbidden {
					t.Errorf("%s with %s %s: got %s, want 403", pattern, name, value, resp.Status)
				}
				clear(owner.header)
			}
		}
		if resp, _ := nobody.do(method, path, ""); resp.Header.Get("X-Frame-Options") != "DENY" ||
			!strings.Contains(resp.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'") {
			t.Errorf("%s may be framed", pattern)
		}
	}
	h.must("GET", "/v1/audit/head", "", &after)
	if before != after {
		t.Errorf("got event %d after %d, want none from requests that were refused", after.Seq, before.Seq)
	}
}

// Every route that needs a role refuses all lower roles.
func TestEveryRouteNeedsItsRole(t *testing.T) {
	h := newHouse(t, here)
	names := map[string]string{"viewer": "vic", "operator": "oz", "admin": "al"}
	for role, name := range names {
		h.addAccount(name, role)
	}
	who := map[string]*browser{}
	for role, name := range names {
		who[role] = h.newBrowser().signIn(name)
	}
	var before, after api.Head
	h.must("GET", "/v1/audit/head", "", &before)
	below := map[string][]string{"operator": {"viewer"}, "admin": {"viewer", "operator"},
		"owner": {"viewer", "operator", "admin"}}
	n := 0
	for pattern, least := range leasts {
		method, path := splitPattern(pattern)
		for _, role := range below[least] {
			n++
			if resp, _ := who[role].do(method, path, ""); resp.StatusCode != http.StatusForbidden {
				t.Errorf("%s as %s: got %s, want 403", pattern, role, resp.Status)
			}
		}
	}
	if n < 60 {
		t.Errorf("tried %d requests, want every route that changes something", n)
	}
	h.must("GET", "/v1/audit/head", "", &after)
	if before != after {
		t.Errorf("got event %d after %d, want none from requests that were refused", after.Seq, before.Seq)
	}
	for _, pattern := range listPatterns(t, h) {
		if _, listed := leasts[pattern]; !listed && !open[pattern] && strings.HasPrefix(pattern, "POST ") &&
			!own[pattern] {
			t.Errorf("%s changes something: say who may, in leasts", pattern)
		}
	}
}

// own lists the forms that every role may send: those about the own account, and the one that only
// reads.
var own = map[string]bool{"POST /sign-out": true, "POST /account/password": true,
	"POST /account/sign-out": true, "POST /health/verify": true,
	"POST /account/passkey": true, "POST /account/passkeys": true,
	"POST /account/passkeys/{passkey}/remove": true, "POST /account/totp/new": true,
	"POST /account/totp": true, "POST /account/totp/remove": true, "POST /account/tokens": true,
	"POST /account/tokens/{token}/remove": true}

// leasts lists the least role for each route, independently of the router, so that a mistake there
// is found.
var leasts = map[string]string{
	"POST /lamps/{target}": "operator", "POST /doors/{target}/unlock": "operator",
	"POST /doors/{target}/lock": "operator", "POST /lockdown/on": "operator",
	"POST /alarms/{alarm}/acknowledge": "operator",
	"POST /lockdown/off":               "admin", "POST /people": "admin", "POST /people/{person}": "admin",
	"POST /people/{person}/remove": "admin",
	"POST /people/{person}/pin":    "admin", "POST /people/{person}/pin/remove": "admin",
	"GET /sinks": "admin", "GET /sinks/{sink}": "admin", "POST /sinks/{sink}": "admin",
	"POST /sinks/{sink}/test": "admin", "POST /sinks/{sink}/remove": "admin",
	"POST /sinks/{sink}/dead/{seq}/retry": "admin",
	"GET /integrations":                   "admin", "GET /integrations/{integration}": "admin",
	"POST /integrations/{integration}": "admin", "POST /integrations/{integration}/test": "admin",
	"POST /integrations/{integration}/remove": "admin", "POST /integrations/{integration}/grants": "admin",
	"POST /people/{person}/cards": "admin", "POST /people/{person}/learn": "admin",
	"POST /people/{person}/groups":               "admin",
	"POST /people/{person}/groups/{group}/leave": "admin", "POST /cards/{card}": "admin",
	"POST /cards/{card}/remove": "admin", "POST /groups": "admin",
	"POST /groups/{group}/members": "admin", "POST /groups/{group}/members/{member}/remove": "admin",
	"POST /groups/{group}/remove": "admin",
	"POST /grants":                "admin", "POST /grants/{grant}/remove": "admin",
	"POST /schedules":                   "admin",
	"POST /schedules/{schedule}":        "admin",
	"POST /schedules/{schedule}/remove": "admin", "POST /devices": "admin",
	"POST /devices/{device}/rekey": "admin", "POST /devices/{device}/revoke": "admin",
	"POST /devices/{device}/remove": "admin", "POST /targets": "admin", "POST /targets/{target}": "admin",
	"POST /targets/{target}/remove": "admin",
	"POST /site":                    "admin", "GET /admins": "owner", "POST /admins": "owner",
	"POST /admins/{account}":        "owner",
	"POST /admins/{account}/remove": "owner",
}
