package admin_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"latchkey/gateway/access"
	"latchkey/gateway/admin"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/audit"
	"latchkey/gateway/store"
)

// A client that reads a list in parts sees each record once, even if the last record of a part is
// removed meanwhile.
func TestListsInParts(t *testing.T) {
	s := newSite(t)
	var want []string
	for i := range 7 {
		name := fmt.Sprintf("p%d", i)
		s.must("POST", "/v1/persons", `{"name":"`+name+`"}`, nil)
		want = append(want, name)
	}
	for limit := 1; limit <= 8; limit++ {
		var got []string
		after := ""
		for {
			var page api.List[api.Person]
			s.must("GET", fmt.Sprintf("/v1/persons?limit=%d&after=%s", limit, url.QueryEscape(after)), "",
				&page)
			if len(page.Items) > limit {
				t.Fatalf("limit %d: got %d", limit, len(page.Items))
			}
			for _, p := range page.Items {
				got = append(got, p.Name)
			}
			if after = page.Next; after == "" {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("limit %d: got %v, want %v", limit, got, want)
		}
	}

	var first, second api.List[api.Person]
	s.must("GET", "/v1/persons?limit=3", "", &first)
	s.must("DELETE", "/v1/persons/p2", "", nil)
	s.must("GET", "/v1/persons?limit=2&after="+first.Next, "", &second)
	if len(second.Items) != 2 || second.Items[0].Name != "p3" || second.Items[1].Name != "p4" {
		t.Errorf("after p2, which was removed: got %v, want p3 and p4", second.Items)
	}
}

func TestListsAreSearched(t *testing.T) {
	s := furnishSite(t)
	s.must("POST", "/v1/persons", `{"name":"Zoë Müller"}`, nil)
	for path, want := range map[string]string{
		"/v1/persons?q=müller":  `"name":"Zoë Müller"`,
		"/v1/persons?q=STAFF":   `"name":"ann"`, // by the group
		"/v1/devices?q=hall":    `"name":"hall-switch"`,
		"/v1/targets?q=esk":     `"name":"desk"`,
		"/v1/cards?q=e580":      `"tail":"e580"`,
		"/v1/cards?q=ann":       `"tail":"e580"`,
		"/v1/groups?q=staff":    `"name":"staff"`,
		"/v1/schedules?q=Week":  `"name":"weekdays"`,
		"/v1/grants?q=weekdays": `"effect":"allow"`,
		"/v1/grants?q=front":    `"effect":"allow"`,
		"/v1/events?q=Zo%C3%AB": `"kind":"policy"`,
	} {
		code, text := s.do("GET", path, "")
		if code != 200 || strings.Count(text, want) != 1 {
			t.Errorf("%s: got %d %s, want %s once", path, code, text, want)
		}
		base, _, _ := strings.Cut(path, "?")
		if code, text := s.do("GET", base+"?q=nowhere-at-all", ""); code != 200 ||
			!strings.Contains(text, `"items":[]`) {
			t.Errorf("%s: got %d %s, want nothing", base, code, text)
		}
	}
	for path, code := range map[string]int{
		"/v1/persons?after=%21":                    422,
		"/v1/persons?limit=0":                      422,
		"/v1/persons?limit=10001":                  422,
		"/v1/persons?q=" + strings.Repeat("x", 65): 422,
	} {
		if got, text := s.do("GET", path, ""); got != code {
			t.Errorf("%s: got %d %s, want %d", path, got, text, code)
		}
	}
}

// A search through many events continues where it stopped, and finds each event once.
func TestEventsAreSearchedInParts(t *testing.T) {
	s := newSite(t)
	for i := range 30 {
		s.must("POST", "/v1/persons", fmt.Sprintf(`{"name":"%s-%d"}`, []string{"odd", "even"}[(i+1)%2], i),
			nil)
	}
	var got []uint64
	from := uint64(1)
	for {
		var page api.Events
		s.must("GET", fmt.Sprintf("/v1/events?from=%d&limit=4&q=EVEN-", from), "", &page)
		if len(page.Items) == 0 {
			break
		}
		for _, ev := range page.Items {
			got = append(got, ev.Seq)
		}
		from = page.Next
	}
	var all api.Events
	s.must("GET", "/v1/events?limit=1000&q=even-", "", &all)
	if len(got) != 15 || len(all.Items) != 15 || !slices.IsSorted(got) {
		t.Errorf("got %v in parts and %d at once, want the same 15", got, len(all.Items))
	}
	var newest, after api.Events
	s.must("GET", "/v1/events?limit=2&q=even-", "", &newest)
	if len(newest.Items) != 2 || newest.Items[1].Seq != got[len(got)-1] {
		t.Errorf("got %v, want the newest two", newest.Items)
	}
	s.must("GET", fmt.Sprintf("/v1/events?after=%d", got[13]), "", &after)
	if len(after.Items) != 3 || after.Items[0].Seq != got[13]+1 {
		t.Errorf("after %d: got %v, want the three that follow", got[13], after.Items)
	}
}

// If two people edit a record, the later one gets 412, whatever was changed.
func TestLaterEditorIsRefused(t *testing.T) {
	s := furnishSite(t)
	var card api.List[api.Card]
	s.must("GET", "/v1/cards", "", &card)
	var grant api.List[api.Grant]
	s.must("GET", "/v1/grants", "", &grant)
	s.must("POST", "/v1/accounts", `{"name":"eva","role":"owner","password":"correct horse"}`, nil)
	s.must("POST", "/v1/accounts", `{"name":"oscar","role":"viewer","password":"correct horse"}`, nil)
	for _, tt := range []struct{ path, method, first, second string }{
		{"/v1/targets/desk", "PATCH", `{"name":"desk2"}`, `{"name":"desk3"}`},
		{"/v1/persons/ann", "PATCH", `{"suspended":true}`, `{"name":"anna"}`},
		{"/v1/schedules/weekdays", "PATCH", `{"text":"mon 08:00-09:00"}`, `{"text":"tue 08:00-09:00"}`},
		{"/v1/cards/" + card.Items[0].ID.String(), "PATCH", `{"status":"lost"}`, `{"status":"active"}`},
		{"/v1/accounts/oscar", "PATCH", `{"role":"admin"}`, `{"role":"owner"}`},
		{"/v1/accounts/eva", "PATCH", `{"password":"another horse"}`, `{"disabled":true}`},
		{"/v1/site", "PATCH", `{"zone":"Europe/Berlin"}`, `{"zone":"Asia/Tokyo"}`},
		{"/v1/grants/" + string(grant.Items[0].ID), "", "", ""},
		{"/v1/groups/staff", "", "", ""},
		{"/v1/devices/hall-switch", "", "", ""},
	} {
		seen := s.ask("GET", tt.path, "", "")
		tag := seen.Header().Get("ETag")
		if len(tag) != 18 || !strings.Contains(seen.Body.String(), `"etag":`+tag) {
			t.Errorf("%s: got the tag %s, and %s", tt.path, tag, seen.Body)
		}
		byID := tt.path
		if tt.first != "" {
			if tt.path != "/v1/site" {
				var r struct{ ID string }
				s.must("GET", tt.path, "", &r)
				byID = tt.path[:strings.LastIndexByte(tt.path, '/')+1] + r.ID
			}
			first := s.ask(tt.method, byID, tt.first, tag)
			if first.Code != 200 || first.Header().Get("ETag") == tag {
				t.Errorf("%s by the first: got %d %s", tt.path, first.Code, first.Body)
			}
			if second := s.ask(tt.method, byID, tt.second, tag); second.Code != 412 ||
				!strings.Contains(second.Body.String(), api.TypeChanged) {
				t.Errorf("%s by the second: got %d %s, want 412", tt.path, second.Code, second.Body)
			}
			if now := s.ask("GET", byID, "", ""); now.Header().Get("ETag") != first.Header().Get("ETag") {
				t.Errorf("%s: the refused change was made", tt.path)
			}
			if again := s.ask(tt.method, byID, tt.second, first.Header().Get("ETag")); again.Code != 200 {
				t.Errorf("%s by the second with the new tag: got %d %s", tt.path, again.Code, again.Body)
			}
			continue
		}
		if w := s.ask("DELETE", tt.path, "", `"0000000000000000"`); w.Code != 412 {
			t.Errorf("%s removed with a wrong tag: got %d %s, want 412", tt.path, w.Code, w.Body)
		}
		if w := s.ask("DELETE", tt.path, "", `"0000000000000000", `+tag); w.Code != 200 {
			t.Errorf("%s removed with its tag: got %d %s", tt.path, w.Code, w.Body)
		}
	}
	if w := s.ask("POST", "/v1/persons", `{"name":"carl"}`, "*"); w.Code != 400 {
		t.Errorf("If-Match for an operation without a record: got %d %s, want 400", w.Code, w.Body)
	}
	if w := s.ask("PATCH", "/v1/persons/ann", `{"name":"x"}`,
		`W/"`+strings.Repeat("0", 16)+`"`); w.Code == 200 {
		t.Errorf("a weak tag: got %d %s", w.Code, w.Body)
	}
}

// Location names the new record.
func TestLocation(t *testing.T) {
	s := newSite(t)
	s.must("POST", "/v1/accounts", `{"name":"eva","role":"owner","password":"correct horse"}`, nil)
	for _, r := range [][2]string{
		{"/v1/targets", `{"name":"front-door","kind":"door"}`},
		{"/v1/devices", `{"name":"front-reader","kind":"reader","targets":["front-door"]}`},
		{"/v1/persons", `{"name":"ann"}`},
		{"/v1/cards", `{"person":"ann","uid":"04a1b2c3d4e580"}`},
		{"/v1/groups", `{"name":"staff","members":["ann"]}`},
		{"/v1/schedules", `{"name":"weekdays","text":"mon-fri 08:00-18:00"}`},
		{"/v1/grants", `{"group":"staff","target":"front-door"}`},
		{"/v1/accounts", `{"name":"oscar","role":"viewer"}`},
		{"/v1/accounts/eva/tokens", `{"label":"script","scopes":["read"]}`},
		{"/v1/accounts/eva/passkeys", `{"label":"key","id":"AAEC","credential":{"a":1}}`},
	} {
		w := s.ask("POST", r[0], r[1], "")
		if w.Code != 201 {
			t.Fatalf("%s: got %d %s", r[0], w.Code, w.Body)
		}
		base, _ := url.Parse("https://door.example/api" + r[0]) // a gateway's website has the API below /api
		at, err := base.Parse(w.Header().Get("Location"))
		if err != nil || !strings.HasPrefix(at.Path, "/api/v1/") {
			t.Fatalf("%s: got Location %q, %v", r[0], w.Header().Get("Location"), err)
		}
		method := "GET"
		if strings.Contains(at.Path, "/tokens/") || strings.Contains(at.Path, "/passkeys/") {
			method = "DELETE" // these are shown with their account
		}
		if got := s.ask(method, strings.TrimPrefix(at.Path, "/api"), "", ""); got.Code != 200 {
			t.Errorf("%s: %s %s: got %d %s", r[0], method, at.Path, got.Code, got.Body)
		}
	}
}

// Different records have different tags, and the same record always has the same one.
func TestTag(t *testing.T) {
	s := furnishSite(t)
	p := s.store.Snapshot()
	seen := map[string]access.Record{}
	for r := range p.Records() {
		tag, err := s.store.Tag(r)
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[tag]; ok {
			t.Errorf("%v and %v have the same tag", other, r)
		}
		seen[tag] = r
		if again, _ := s.store.Tag(r); again != tag {
			t.Errorf("%v: got %s and %s", r, tag, again)
		}
	}
	if len(seen) < 10 {
		t.Errorf("got %d records", len(seen))
	}
}

// ask is like do, with the header If-Match unless match is empty. It returns the whole answer.
func (s *site) ask(method, path, body, match string) *httptest.ResponseRecorder {
	s.t.Helper()
	r := httptest.NewRequestWithContext(s.t.Context(), method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if match != "" {
		r.Header.Set("If-Match", match)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	noteExchange(s.t, r, body, w)
	return w
}

// If-Match prevents a change if it does not have the tag of the record, however it is written.
func TestIfMatchAsWritten(t *testing.T) {
	s := furnishSite(t)
	tag := s.ask("GET", "/v1/persons/ann", "", "").Header().Get("ETag")
	const other = `"0123456789abcdef"`
	for _, tt := range []struct {
		match []string
		code  int
	}{
		{nil, 200},
		{[]string{"*"}, 200},
		{[]string{tag}, 200},
		{[]string{other + "," + tag}, 200},
		{[]string{other, tag}, 200},
		{[]string{""}, 412},
		{[]string{"", other}, 412},
		{[]string{","}, 412},
		{[]string{other}, 412},
		{[]string{`"a,*,b"`}, 412},
		{[]string{"W/" + tag}, 412},
		{[]string{strings.Trim(tag, `"`)}, 412},
	} {
		r := httptest.NewRequestWithContext(t.Context(), "PATCH", "/v1/persons/ann",
			strings.NewReader(`{"suspended":false}`))
		r.Header.Set("Content-Type", "application/json")
		for _, m := range tt.match {
			r.Header.Add("If-Match", m)
		}
		w := httptest.NewRecorder()
		if s.ServeHTTP(w, r); w.Code != tt.code {
			t.Errorf("If-Match %q: got %d %s, want %d", tt.match, w.Code, w.Body, tt.code)
		}
	}
	r := httptest.NewRequestWithContext(t.Context(), "POST", "/v1/devices/front-lock/revoke", nil)
	r.Header["If-Match"] = []string{""}
	w := httptest.NewRecorder()
	if s.ServeHTTP(w, r); w.Code != 400 {
		t.Errorf("an empty If-Match for an operation without a record: got %d %s, want 400", w.Code, w.Body)
	}
}

// After the largest number there are no events. The answer must not be the newest ones.
func TestNothingAfterTheLastNumber(t *testing.T) {
	s := furnishSite(t)
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/v1/events?after=18446744073709551615", nil)
	w := httptest.NewRecorder()
	if s.ServeHTTP(w, r); w.Code != 200 || !strings.Contains(w.Body.String(), `"items":[]`) {
		t.Errorf("got %d %.200s, want nothing", w.Code, w.Body)
	}
}

// watched is a store that counts how many callers read events at the same time.
type watched struct {
	*store.Store
	now, most atomic.Int32
}

func (w *watched) Events(ctx context.Context, from uint64, limit int) ([]audit.Event, error) {
	n := w.now.Add(1)
	defer w.now.Add(-1)
	for most := w.most.Load(); n > most && !w.most.CompareAndSwap(most, n); most = w.most.Load() {
	}
	runtime.Gosched() // let another caller run, if it is allowed to
	return w.Store.Events(ctx, from, limit)
}

// Searches run one after the other, since many at once would delay a scan at a door.
func TestOneSearchAtATime(t *testing.T) {
	w := &watched{}
	s := newSite(t, func(c *admin.Config) {
		w.Store = c.Store.(*store.Store)
		c.Store = w
	})
	for i := range 50 {
		s.must("POST", "/v1/persons", fmt.Sprintf(`{"name":"p%d"}`, i), nil)
	}
	var wg sync.WaitGroup
	for i := range 32 {
		path := []string{"/v1/events?q=p7", "/v1/events?from=1&q=p7"}[i%2]
		wg.Go(func() {
			for range 20 {
				r := httptest.NewRequestWithContext(t.Context(), "GET", path, nil)
				out := httptest.NewRecorder()
				if s.ServeHTTP(out, r); out.Code != 200 ||
					!strings.Contains(out.Body.String(), "add person p7") {
					t.Errorf("%s: got %d %.200s", path, out.Code, out.Body)
				}
			}
		})
	}
	wg.Wait()
	if n := w.most.Load(); n != 1 {
		t.Errorf("%d searches ran at once, want 1", n)
	}
}

// If a body does not come in time, the answer is one that the document describes.
func TestBodyThatDoesNotCome(t *testing.T) {
	s := newSite(t)
	r := httptest.NewRequestWithContext(t.Context(), "POST", "/v1/persons",
		iotest.ErrReader(os.ErrDeadlineExceeded))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	if s.ServeHTTP(w, r); w.Code != 408 {
		t.Errorf("got %d %s, want 408", w.Code, w.Body)
	}
	noteExchange(t, r, "", w)
}

// An operation without input refuses a parameter and If-Match.
func TestOperationWithoutInputRefusesInput(t *testing.T) {
	s := newSite(t)
	for _, path := range []string{"/healthz", "/v1/site", "/v1/audit/head", "/v1/setup",
		"/v1/session/client"} {
		if code, text := s.do("GET", path+"?x=1", ""); code != 422 {
			t.Errorf("%s with a parameter: got %d %s, want 422", path, code, text)
		}
		if w := s.ask("GET", path, "", "*"); w.Code != 400 {
			t.Errorf("%s with If-Match: got %d %s, want 400", path, w.Code, w.Body)
		}
	}
}
