package sink

import (
	"fmt"
	"slices"
	"testing"

	"latchkey/gateway/access"
	"latchkey/gateway/audit"
)

// A paused sink keeps the events that it has not taken. If somebody lets it begin later, they can be
// removed, and it goes on there.
func TestWhereEventsWereRemoved(t *testing.T) {
	s, c := newSite(t), startReceiver(t)
	s.note(audit.EventReport, 10)
	r := c.sink("home")
	s.put(r)
	s.run()
	s.caughtUp()
	r.Paused = "by ann"
	s.put(r)
	for range 30 {
		s.record(audit.EventReport) // each is a page
	}
	s.stop()
	remove := func(want uint64) {
		t.Helper()
		for range 3 {
			if _, err := s.store.RemoveOldest(t.Context(), s.head()-10, 30); err != nil {
				t.Fatal(err)
			}
		}
		if got := s.store.First(); got != want {
			t.Fatalf("the first event is %d, want %d", got, want)
		}
	}
	cursor, _, err := s.store.SinkCursor(t.Context(), r.ID)
	if err != nil {
		t.Fatal(err)
	}
	remove(cursor.Seq) // that event stays
	r.From = s.head() - 5
	s.put(r)
	remove(s.head() - 9)
	r.Paused = ""
	if _, err := s.store.Apply(t.Context(), "test", access.Change{Put: r}); err != nil {
		t.Fatal(err)
	}
	s.run()
	s.caughtUp()
	late := slices.DeleteFunc(c.all(), func(ev taken) bool {
		var epoch, seq uint64
		_, err := fmt.Sscanf(ev.ID, "%d.%d", &epoch, &seq)
		return err != nil || seq <= cursor.Seq+1 // the event of the pause may have been on its way
	})
	checkComplete(t, late, r.From, s.head(), 0)
}
