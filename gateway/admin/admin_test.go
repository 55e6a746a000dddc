package admin_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/gateway/account"
	"latchkey/gateway/admin"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/store"
)

// site is a handler over a real store in memory.
type site struct {
	t     *testing.T
	store *store.Store
	http.Handler
	unvouched *admin.Handler // the same API, with only the principal of the request's context
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
	cfg := admin.Config{Store: s, GatewayAddrs: []string{"door.example:5684"}, Version: "test"}
	for _, f := range set {
		f(&cfg)
	}
	h := admin.New(cfg)
	return &site{t, s, serveAsTester(h), h}
}

// serveAsTester serves every request as that of somebody on the machine, unless its context has a
// principal.
func serveAsTester(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if account.PrincipalOf(r.Context()).Kind == account.Nobody {
			r = r.WithContext(account.WithPrincipal(r.Context(), account.NewUnixPeer("tester")))
		}
		h.ServeHTTP(w, r)
	})
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
	noteExchange(s.t, r, body, w)
	b, err := io.ReadAll(w.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return w.Code, string(bytes.TrimSpace(b))
}

// must is do for a request that must succeed. It decodes the answer into into.
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

// furnishSite makes a site with a door, a lamp, their devices, and ann with a card.
func furnishSite(t *testing.T, set ...func(*admin.Config)) *site {
	t.Helper()
	s := newSite(t, set...)
	for _, r := range [][2]string{
		{"/v1/targets", `{"name":"front-door","kind":"door","pulse":"3s"}`},
		{"/v1/targets", `{"name":"desk","kind":"lamp"}`},
		{"/v1/devices", `{"name":"front-reader","kind":"reader","targets":["front-door"]}`},
		{"/v1/devices", `{"name":"front-lock","kind":"lock","targets":["front-door"]}`},
		{"/v1/devices", `{"name":"hall-switch","kind":"switch","targets":["desk"]}`},
		{"/v1/persons", `{"name":"ann"}`},
		{"/v1/cards", `{"person":"ann","uid":"` + annsCard + `"}`},
		{"/v1/groups", `{"name":"staff","members":["ann"]}`},
		{"/v1/schedules", `{"name":"weekdays","text":"mon-fri 08:00-18:00"}`},
		{"/v1/grants", `{"group":"staff","target":"front-door","schedule":"weekdays"}`},
	} {
		s.must("POST", r[0], r[1], nil)
	}
	return s
}

const annsCard = "04a1b2c3d4e580"

func TestRequests(t *testing.T) {
	s := furnishSite(t)
	for _, tt := range []struct {
		name, method, path, body string
		code                     int
		want                     string // in the answer
	}{
		{"a door without a pulse gets three seconds", "POST", "/v1/targets", `{"name":"side","kind":"door"}`,
			201, `"pulse":"3s"`},
		{"a taken name is a conflict", "POST", "/v1/targets", `{"name":"desk","kind":"door"}`, 409,
			"the name is taken"},
		{"a target shows its actuator", "GET", "/v1/targets/front-door", ``, 200, `"name":"front-lock"`},
		{"a target can be renamed", "PATCH", "/v1/targets/side", `{"name":"side-door","pulse":"500ms"}`, 200,
			`"pulse":"500ms"`},
		{"an impossible pulse is refused", "PATCH", "/v1/targets/side-door", `{"pulse":"2h"}`, 422,
			"200ms to 1m0s"},
		{"a lamp has no pulse", "POST", "/v1/targets", `{"name":"x","kind":"lamp","pulse":"1s"}`, 422,
			"a lamp has no pulse"},
		{"an unused target can be removed", "DELETE", "/v1/targets/side-door", ``, 200,
			"delete door side-door"},
		{"a used target cannot be removed", "DELETE", "/v1/targets/front-door", ``, 409, "in use"},
		{"a removed target is not found", "GET", "/v1/targets/side-door", ``, 404, "not found"},
		{"a reader needs a target", "POST", "/v1/devices", `{"name":"x","kind":"reader"}`, 422,
			"exactly one"},
		{"a device needs the address of a gateway", "POST", "/v1/devices",
			`{"name":"x","kind":"sensor","gateway":"x"}`, 422, "host:port"},
		{"an unknown target is named", "POST", "/v1/devices", `{"name":"x","kind":"reader","targets":["y"]}`,
			404, `target \"y\"`},
		{"a second lock at a door is refused", "POST", "/v1/devices",
			`{"name":"x","kind":"lock","targets":["front-door"]}`, 422, "remove that one first"},
		{"a person may be suspended", "PATCH", "/v1/persons/ann", `{"suspended":true}`, 200,
			`"suspended":true`},
		{"a person may be resumed", "PATCH", "/v1/persons/ann", `{"suspended":false}`, 200, `"cards":1`},
		{"a name may have a slash", "POST", "/v1/persons", `{"name":"a/b ."}`, 201, `"a/b ."`},
		{"a name with a slash is found if it is escaped", "GET", "/v1/persons/a%2Fb%20%2E", ``,
			200, `"a/b ."`},
		{"a card that somebody has is refused", "POST", "/v1/cards",
			`{"person":"a/b .","uid":"04:A1:B2:C3:D4:E5:80"}`, 409, "already ann's"},
		{"a UID of five bytes is refused", "POST", "/v1/cards", `{"person":"ann","uid":"0102030405"}`, 422,
			"4, 7 or 10 bytes"},
		{"a card is found by its tail", "GET", "/v1/cards/E580", ``, 200, `"tail":"e580"`},
		{"a card can be marked lost", "PATCH", "/v1/cards/e580", `{"status":"lost"}`, 200, `"status":"lost"`},
		{"a person without a valid card gets a note", "POST", "/v1/explain",
			`{"person":"ann","target":"front-door","at":"2026-11-23T09:00:00Z"}`, 200,
			`"notes":["ann has no card`},
		{"a lost card can be active again", "PATCH", "/v1/cards/e580", `{"status":"active"}`, 200,
			`"status":"active"`},
		{"joining twice is the same as once", "PUT", "/v1/groups/staff/members/ann", ``, 200, `"members":[{`},
		{"leaving a group without being a member", "DELETE", "/v1/groups/staff/members/a%2Fb%20%2E", ``, 404,
			"not in group"},
		{"a group of an unknown kind", "POST", "/v1/groups", `{"name":"x","of":"pets"}`, 422, "of"},
		{"a schedule is shown in canonical form", "PATCH", "/v1/schedules/weekdays",
			`{"text":"Mon-Fri  08:00-18:00"}`, 200, `"text":"mon-fri 08:00-18:00"`},
		{"an invalid schedule", "POST", "/v1/schedules", `{"name":"x","text":"sometimes"}`, 422,
			"mon-fri 08:00-18:00"},
		{"a schedule in use cannot be removed", "DELETE", "/v1/schedules/weekdays", ``, 409, "in use"},
		{"a grant without a subject", "POST", "/v1/grants", `{"target":"desk"}`, 422, "exactly one of person"},
		{"a grant to two subjects", "POST", "/v1/grants", `{"person":"ann","group":"staff","target":"desk"}`,
			422,
			"exactly one of person"},
		{"a grant without a target", "POST", "/v1/grants", `{"person":"ann"}`, 422, "exactly one of target"},
		{"an action that does not fit", "POST", "/v1/grants",
			`{"person":"ann","target":"desk","actions":["unlock"]}`, 422, "does not fit"},
		{"an unknown action", "POST", "/v1/grants", `{"person":"ann","target":"desk","actions":["fly"]}`,
			422, "want unlock"},
		{"grants of a person", "GET", "/v1/grants?person=ann", ``, 200, `"effect":"allow","group":{`},
		{"grants at a target", "GET", "/v1/grants?target=front-door", ``, 200, `"group":{"id":`},
		{"an unknown zone", "PATCH", "/v1/site", `{"zone":"Mars/Olympus"}`, 422, "Europe/Berlin"},
		{"inside the schedule", "POST", "/v1/explain", `{"uid":"` + annsCard +
			`","target":"front-door","at":"2026-11-23T09:00:00Z"}`, 200, `"granted":true`},
		{"outside the schedule", "POST", "/v1/explain",
			`{"person":"ann","target":"front-door","at":"2026-11-22T09:00:00Z"}`, 200,
			`"reason":"outside-schedule"`},
		{"without a trusted clock", "POST", "/v1/explain",
			`{"person":"ann","target":"front-door","clockTrusted":false}`, 200, `"reason":"clock-untrusted"`},
		{"an unknown card", "POST", "/v1/explain", `{"uid":"01020304","target":"front-door"}`, 200,
			`"reason":"unknown-card"`},
		{"a switch without a grant", "POST", "/v1/explain", `{"device":"hall-switch","target":"desk"}`, 200,
			`"reason":"no-grant"`},
		{"explaining without a subject", "POST", "/v1/explain", `{"target":"desk"}`, 422,
			"exactly one of person, card, uid, device and integration"},
		{"a malformed head", "POST", "/v1/audit/verify", `{"head":"12"}`, 422, "SEQ:HASH"},
		{"a head of another chain", "POST", "/v1/audit/verify", `{"head":"1:` + strings.Repeat("0", 64) +
			`"}`, 200, `"ok":false`},
		{"an intact chain", "POST", "/v1/audit/verify", `{}`, 200, `"ok":true`},
		{"events from the first", "GET", "/v1/events?from=1&limit=1", ``, 200, `"next":2`},
		{"events from the future", "GET", "/v1/events?from=99999", ``, 200, `{"items":[],"next":99999}`},
		{"events with from and since", "GET", "/v1/events?from=1&since=2026-01-01T00:00:00Z", ``, 422,
			"not both"},
		{"events with an unknown parameter", "GET", "/v1/events?form=1", ``, 422, "form"},
		{"too many events", "GET", "/v1/events?limit=1001", ``, 422, "limit"},
		{"unlocking needs a gateway", "POST", "/v1/operate", `{"target":"front-door","action":"unlock"}`, 503,
			api.TypeNoGateway},
		{"learning needs a gateway", "POST", "/v1/cards/learn", `{"reader":"front-reader","person":"ann"}`,
			503, api.TypeNoGateway},
		{"following needs a gateway", "GET", "/v1/events/stream", ``, 503, api.TypeNoGateway},
		{"status needs a gateway", "GET", "/v1/status", ``, 503, api.TypeNoGateway},
		{"latency needs a gateway", "GET", "/v1/latency", ``, 503, api.TypeNoGateway},
		{"the clock needs a gateway", "GET", "/v1/time", ``, 503, api.TypeNoGateway},
		{"health needs no gateway", "GET", "/healthz", ``, 200, `"gateway":false`},
		{"without metrics there is no such path", "GET", "/metrics", ``, 404, "see /openapi.json"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, text := s.do(tt.method, tt.path, tt.body)
			if code != tt.code || !strings.Contains(text, tt.want) {
				t.Errorf("%s %s %s: got %d %s, want %d and %s", tt.method, tt.path, tt.body, code, text,
					tt.code, tt.want)
			}
		})
	}
}

func TestChangesAreOneEventEach(t *testing.T) {
	s := furnishSite(t)
	before, _ := s.store.Head()
	s.must("PUT", "/v1/lockdown", `{"on":true}`, nil)
	s.must("PUT", "/v1/lockdown", `{"on":true}`, nil) // changes nothing
	s.must("POST", "/v1/devices/front-lock/revoke", "", nil)
	s.must("POST", "/v1/devices/front-lock/revoke", "", nil)
	after, _ := s.store.Head()
	if got, want := after-before, uint64(2); got != want {
		t.Errorf("got %d events, want %d", got, want)
	}
	var site api.Site
	s.must("POST", "/v1/time/trust", "", &site)
	if site.TimeTrusted != after {
		t.Errorf("got time trusted at %d, want the head %d", site.TimeTrusted, after)
	}
}

func TestRemovalListsAllThatWasRemoved(t *testing.T) {
	s := furnishSite(t)
	s.must("POST", "/v1/grants", `{"person":"ann","target":"desk"}`, nil)
	var done api.Changed
	s.must("DELETE", "/v1/persons/ann", "", &done)
	want := []string{"delete card …e580 of ann", "delete grant ann → desk", "take ann from group staff",
		"delete person ann"}
	if !slices.Equal(done.Changes, want) {
		t.Errorf("got %q, want %q", done.Changes, want)
	}
}

// Without a gateway the clock is trusted if a gateway would trust it, and a note says so if not.
func TestExplainWithoutGateway(t *testing.T) {
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	s := furnishSite(t, func(c *admin.Config) {
		c.Now = func() time.Time { return now }
		c.Clock = func(at time.Time) (bool, string) { return at.After(now), "nobody has set it" }
	})
	const here, note = `{"person":"ann","target":"front-door"`,
		"the clock is not trusted, so schedules deny: nobody has set it"
	for _, tc := range []struct{ rule, body, reason, note string }{
		{"without a time the clock must be trusted", here + `}`, "clock-untrusted", note},
		{"a given time is trusted", here + `,"at":"2026-11-23T08:59:00Z"}`, "granted", ""},
		{"clockTrusted overrides the clock", here + `,"clockTrusted":true}`, "granted", ""},
	} {
		var got api.Explanation
		s.must("POST", "/v1/explain", tc.body, &got)
		if string(got.Decision.Reason) != tc.reason || strings.Join(got.Notes, "; ") != tc.note {
			t.Errorf("%s: got %s and notes %q, want %s and %q", tc.rule, got.Decision.Reason, got.Notes,
				tc.reason, tc.note)
		}
	}
}

func TestGatewayAddressIsAskedFor(t *testing.T) {
	for _, tc := range []struct {
		rule  string
		addrs []string
		in    string
		code  int
		says  string
	}{
		{"the only address is used", []string{"10.42.0.1:5684"}, "", 201, `"gateway":"10.42.0.1:5684"`},
		{"with several addresses one must be chosen", []string{"10.42.0.1:5684", "192.168.1.5:5684"}, "", 422,
			"10.42.0.1:5684, 192.168.1.5:5684"},
		{"the address in the request is used", []string{"10.42.0.1:5684", "192.168.1.5:5684"},
			`,"gateway":"192.168.1.5:5684"`, 201, `"gateway":"192.168.1.5:5684"`},
		{"without any address the request must name one", nil, "", 422, "--gateway HOST:PORT"},
	} {
		s := newSite(t, func(c *admin.Config) { c.GatewayAddrs = tc.addrs })
		s.must("POST", "/v1/targets", `{"name":"door","kind":"door"}`, nil)
		code, text := s.do("POST", "/v1/devices", `{"name":"r","kind":"reader","targets":["door"]`+tc.in+`}`)
		if code != tc.code || !strings.Contains(text, tc.says) {
			t.Errorf("%s: got %d %s, want %d and %q", tc.rule, code, text, tc.code, tc.says)
		}
		if _, ok := s.store.Snapshot().DeviceByName("r"); ok != (tc.code == 201) {
			t.Errorf("%s: got that the device was made: %v", tc.rule, ok)
		}
	}
}
