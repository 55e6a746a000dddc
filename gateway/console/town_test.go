package console_test

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/audit"
	"latchkey/gateway/console/webtest"
)

const (
	townPeople = 600
	townEvents = 30_000
)

// newTown makes a house with 600 people, 60 doors and lamps, and 30,000 events. 250 events are of
// the cellar, in two groups that are further apart than one page searches.
func newTown(t *testing.T, local ...string) *house {
	t.Helper()
	h := newHouse(t, local...)
	var changes []access.Change
	put := func(r access.Record) { changes = append(changes, access.Change{Put: r}) }
	now := time.Now().UTC().Truncate(time.Second)
	var first access.Person
	var cellar access.Target
	for i := range townPeople - 1 { // and ann
		who := access.Person{ID: access.NewID(), Name: fmt.Sprintf("p%03d", i), Created: now}
		if i == 0 {
			who.Name = "Çelik & Co, 50%"
			first = who
		}
		put(who)
		put(access.Credential{ID: h.store.CredentialID([]byte{7, 7, byte(i >> 8), byte(i)}), Person: who.ID,
			Tail:   fmt.Sprintf("%04x", i),
			Status: access.CardActive, Created: now})
	}
	for i := range 58 { // and front-door and hall
		r := access.Target{ID: access.NewID(), Name: fmt.Sprintf("d%02d", i), Kind: access.Door,
			Pulse: 3 * time.Second, Created: now}
		if i == 0 {
			r.Name = "cellar"
			cellar = r
		}
		put(r)
	}
	for some := range slices.Chunk(changes, 500) {
		if _, err := h.store.Apply(t.Context(), "test", some...); err != nil {
			t.Fatal(err)
		}
	}
	seq, _ := h.store.Head()
	const heap = 125
	report := audit.Event{Kind: audit.EventReport, Target: audit.Named{ID: cellar.ID, Name: cellar.Name},
		Person: audit.Named{ID: first.ID, Name: first.Name}, Detail: "boot"}
	routine := audit.Event{Kind: audit.EventSession, Detail: "registered"}
	h.recordEvents(heap, report)
	h.recordEvents(townEvents-int(seq)-2*heap, routine)
	h.recordEvents(heap, report)
	return h
}

// recordEvents records n events.
func (h *house) recordEvents(n int, e audit.Event) {
	h.t.Helper()
	var wg sync.WaitGroup
	for w := range 32 {
		wg.Go(func() {
			for i := w; i < n; i += 32 {
				if _, err := h.store.Record(h.t.Context(), e); err != nil {
					h.t.Errorf("event: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// followLink returns the content behind a link of the page.
func (h *house) followLink(p *webtest.Page, link string) string {
	h.t.Helper()
	path, ok := strings.CutPrefix(p.Link(link), h.url)
	if !ok {
		h.t.Fatalf("%s leads to another site", link)
	}
	_, text := h.newBrowser().signIn("owner").do("GET", path, "")
	return text
}

// TestTown uses the pages of a large site as people do.
func TestTown(t *testing.T) {
	h := newTown(t, here)
	h.must("PATCH", "/v1/targets/front-door", `{"name":"z-front-door"}`, nil) // the last of 59 doors
	for _, tt := range []struct {
		name string
		test func(*testing.T, *house)
	}{
		{"filtered events stay filtered", filteredEventsStayFiltered},
		{"a search that finds nothing says where it looked", searchSaysWhereItLooked},
		{"long lists say what they leave out", longListsSayWhatTheyLeaveOut},
		{"the answer is on the pressed card, on a phone",
			func(t *testing.T, h *house) { answerIsOnThePressedCard(t, h, webtest.Options{Phone: true}) }},
		{"the answer is on the pressed card, without scripts", func(t *testing.T, h *house) {
			answerIsOnThePressedCard(t, h, webtest.Options{Phone: true, NoScript: true})
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			part := *h
			part.t = t
			tt.test(t, &part)
		})
	}
}

func filteredEventsStayFiltered(t *testing.T, h *house) {
	p := h.openSignedIn("owner", webtest.Options{})
	p.Click("Events")
	p.Select("Door or lamp", "cellar")
	p.Select("Kind", "report")
	p.Fill("Person", "çelik & co, 50%")
	p.Click("Show")
	p.See("cellar")
	rows, err := csv.NewReader(strings.NewReader(h.followLink(p, "CSV"))).ReadAll()
	if err != nil || len(rows) != 251 {
		t.Errorf("CSV: got %d rows, %v, want a head and the 250 of the cellar", len(rows), err)
	}
	var events []audit.Event
	if err := json.Unmarshal([]byte(h.followLink(p, "JSON")), &events); err != nil || len(events) != 250 {
		t.Errorf("JSON: got %d events, %v, want the 250 of the cellar", len(events), err)
	}
	// A page shows 100, the next one the 25 that are left among 20,000 events, and the others the
	// older group.
	shown := func(want int) {
		t.Helper()
		if got := strings.Count(p.In("#events").Text(), "cellar"); got != want {
			t.Errorf("at %s: got %d events of the cellar, want %d", p.URL(), got, want)
		}
		p.In("#events").DontSee("registered")
	}
	shown(100)
	p.Click("Older")
	p.See("These are all such events from number")
	shown(25)
	p.Click("Older")
	shown(100)
	p.Click("Older")
	shown(25)
	p.DontSee("Older")
	p.Click("Newest")
	shown(100)
}

func searchSaysWhereItLooked(_ *testing.T, h *house) {
	p := h.openSignedIn("owner", webtest.Options{})
	p.Click("Events")
	p.Fill("Person", "nobody")
	p.Click("Show")
	p.See("No such event from number")
	p.DontSee("Nothing yet")
	p.Click("Older")
	p.See("There is no such event before number")
}

func longListsSayWhatTheyLeaveOut(_ *testing.T, h *house) {
	h.must("POST", "/v1/groups", `{"name":"staff","members":["ann"]}`, nil)
	h.must("POST", "/v1/grants", `{"group":"staff","target":"z-front-door"}`, nil)
	p := h.openSignedIn("owner", webtest.Options{})
	p.Click("Why")
	p.See("500 of 600 people and 500 of 600 cards")
	p.Fill("Or a person's name", "p598")
	p.Select("Where", "z-front-door")
	p.Click("Explain")
	p.See("For p598")
	p.See("Denied: no-grant")
	p.Expect("422")
	p.Fill("Or a person's name", "nobody")
	p.Click("Explain")
	p.See(`Person "nobody": not found`)
	p.Click("People")
	p.Fill("Search", "p597")
	p.Press("Enter")
	p.Click(".list a")
	p.Click("why?") // a link for a card that the list leaves out
	p.See("0255, p597")
	p.Select("Where", "z-front-door")
	p.Click("Explain")
	p.See("For p597")

	p.Click("People")
	p.Click("Groups")
	p.See("1 grant")
	p.DontSee("1 grants")
	p.Click(".list a")
	p.See("500 of 599 that could be added")
	p.Fill("Or a name", "p598")
	p.Click("Add")
	p.See("Saved")
	p.See("p598")
}

// The answer is shown on the pressed card, also if that is far down on a phone, and stays there
// when the page updates itself.
func answerIsOnThePressedCard(_ *testing.T, h *house, opts webtest.Options) {
	moves := h.lock.Moves()
	p := h.openSignedIn("owner", opts)
	p.In("z-front-door").Click("Unlock 2s")
	h.eventually("the lock has let go", func() bool { return h.lock.Moves() > moves })
	p.In("z-front-door").See("z-front-door is unlocked")
	p.In("z-front-door").SeeOnScreen(".note")
	h.eventually("the pulse is over", func() bool { return !h.lock.State().On })
	if !opts.NoScript {
		p.In("z-front-door").See("locked")
		p.In("z-front-door").See("z-front-door is unlocked") // although the page has updated the card
	}
	p.Expect("422")
	p.In("d07").Click("Unlock 3s")
	p.In("d07").See("was not unlocked: its device is offline")
	p.In("d07").SeeOnScreen(".note")
}

// The banner about the clock is a sentence, on any screen.
func TestClockBannerIsASentence(t *testing.T) {
	h := newHouse(t)
	if _, err := h.store.Record(t.Context(), audit.Event{Kind: audit.EventSession,
		At: time.Now().Add(24 * time.Hour), Detail: "of tomorrow"}); err != nil {
		t.Fatal(err)
	}
	for name, opts := range map[string]webtest.Options{"desk": {}, "phone": {Phone: true}} {
		t.Run(name, func(t *testing.T) {
			h := *h
			h.t = t
			p := h.openSignedIn("owner", opts)
			p.In(".banner").See("The clock is not trusted, so what depends on the time is denied. It says ")
		})
	}
}
