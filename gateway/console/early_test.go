package console_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"latchkey/gateway/account"
	"latchkey/gateway/admin"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/console"
	"latchkey/gateway/limit"
)

// rounds passes calls of the API on. It answers the call for the session only after a number of
// other calls have arrived, and records the calls that arrive after that.
type rounds struct {
	next    http.Handler
	arrived chan struct{}

	mu       sync.Mutex
	want     int      // calls besides that for the session; guarded by mu
	answered bool     // guarded by mu
	missing  int      // calls that did not arrive in time; guarded by mu
	late     []string // guarded by mu
}

func (a *rounds) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == api.GetSession.Path {
		a.awaitOthers()
	} else {
		a.note(r.URL.Path)
	}
	a.next.ServeHTTP(w, r)
}

func (a *rounds) note(path string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.answered {
		a.late = append(a.late, path)
		return
	}
	a.arrived <- struct{}{}
}

func (a *rounds) awaitOthers() {
	a.mu.Lock()
	left := a.want
	a.mu.Unlock()
	for deadline := time.After(10 * time.Second); left > 0; {
		select {
		case <-a.arrived:
			left--
		case <-deadline:
			a.mu.Lock()
			a.missing, left = left, 0
			a.mu.Unlock()
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answered = true
}

// A page makes its calls of the API at once, together with the call for the session. Only calls
// that depend on an answer come later.
func TestPagesAskAtOnce(t *testing.T) {
	h := newHouse(t)
	for _, made := range [][2]string{
		{"groups", `{"name":"staff","members":["ann"]}`},
		{"grants", `{"group":"staff","target":"hall"}`},
		{"schedules", `{"name":"days","text":"mon-fri 08:00-18:00"}`},
		{"integrations", `{"name":"home","protocol":"mqtt","endpoint":{"url":"mqtts://broker.example"}}`},
		{"devices", `{"name":"button","kind":"switch","targets":["hall"]}`},
	} {
		h.must("POST", "/v1/"+made[0], made[1], nil)
	}
	// Calls are made as somebody on the machine, except that the session is that of the browser's
	// cookie.
	mux := http.NewServeMux()
	mux.Handle("/", h.gw.AdminHandler())
	mux.Handle(api.GetSession.Path,
		admin.New(admin.Config{Store: h.store, Website: account.Website{SignIns: h.store}}).Visitors())
	b := (&castle{t: t}).newClient("192.0.2.1:1")
	var err error
	if b.c.console, err = console.New(console.Config{API: mux}); err != nil {
		t.Fatal(err)
	}
	if w := b.post("/sign-in", "name", "owner", "password", password); w.Code != http.StatusSeeOther {
		t.Fatalf("sign in: got %d %s", w.Code, w.Body)
	}

	const frame = 3 // the site, the time, alarms
	grants := []string{api.ListGrants.Path, api.ListGroups.Path, api.ListSchedules.Path, api.ListTargets.Path}
	for _, tt := range []struct {
		path string
		own  int // calls besides those of the frame
		late []string
	}{
		{"/", 3, nil},
		{"/events", 2, nil},
		{"/events?before=2", 2, []string{api.ListEvents.Path}},
		{"/why", 4, []string{api.ListIntegrations.Path}}, // which only admins ask for
		{"/why?who=person/ann&target=hall", 4, []string{api.Explain.Path, api.ListIntegrations.Path}},
		{"/people", 1, nil},
		{"/people/ann", 7, nil},
		{"/groups", 2, nil},
		{"/groups/staff", 6, nil},
		{"/schedules", 2, nil},
		{"/devices", 2, nil},
		{"/devices/hall-lamp", 2, nil},
		{"/devices/button", 2, grants},
		{"/targets/hall", 4, nil},
		{"/health", 6, nil},
		{"/sinks", 1, nil},
		{"/integrations", 1, nil},
		{"/integrations/home", 5, []string{api.ListGrants.Path}},
		{"/account", 0, nil},
		{"/admins", 1, nil},
	} {
		a := &rounds{next: mux, want: frame + tt.own, arrived: make(chan struct{}, 100)}
		site, err := console.New(console.Config{API: a})
		if err != nil {
			t.Fatal(err)
		}
		known := limit.WithClient(t.Context(), limit.Client{Account: "owner"})
		r := httptest.NewRequestWithContext(known, http.MethodGet, "https://door.example"+tt.path, nil)
		for name, value := range b.cookies {
			r.AddCookie(&http.Cookie{Name: name, Value: value})
		}
		w := httptest.NewRecorder()
		site.ServeHTTP(w, r)
		a.mu.Lock()
		slices.Sort(a.late)
		if w.Code != http.StatusOK {
			t.Errorf("%s: got %d %.300s", tt.path, w.Code, w.Body)
		}
		if a.missing > 0 || len(a.arrived) > 0 {
			t.Errorf("%s: %d calls were missing and %d too many, want %d at once", tt.path, a.missing,
				len(a.arrived), a.want)
		}
		if !slices.Equal(a.late, tt.late) {
			t.Errorf("%s: got the later calls %q, want %q", tt.path, a.late, tt.late)
		}
		a.mu.Unlock()
	}
}
