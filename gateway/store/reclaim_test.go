package store

import (
	"strings"
	"testing"

	"latchkey/gateway/audit"
	"latchkey/gateway/store/folder"
)

// The space of removed events comes back, and the store is whole after that.
func TestSpaceOfRemovedEventsComesBack(t *testing.T) {
	o := Options{Dir: t.TempDir(), MinFree: 1, small: true, Free: func() (uint64, error) { return 1 << 40, nil }}
	s := fillHouse(t, o, 0)
	for range 900 {
		mustRecord(t, s, audit.Event{Kind: audit.EventReport, Detail: strings.Repeat("x", 3000)})
	}
	last, _ := s.Head()
	if gained, _, err := s.Reclaim(t.Context()); err != nil || gained != 0 {
		t.Errorf("got %d bytes, %v, want none while nothing is removed", gained, err)
	}
	cutUpTo(t, s, last-20)
	if gained, again, err := s.Reclaim(t.Context()); err != nil || gained != 0 || !again {
		t.Errorf("got %d bytes, %v, %v, want none before the deletes are in a table", gained, again, err)
	}
	s = reopen(t, s)
	before, err := folder.MeasureUse(o.Dir + "/db")
	if err != nil {
		t.Fatal(err)
	}
	gained, again, err := s.Reclaim(t.Context())
	if err != nil || again || gained < 2<<20 {
		t.Errorf("got %d bytes, %v, %v, want those of most of 2.7 MB", gained, again, err)
	}
	after, err := folder.MeasureUse(o.Dir + "/db")
	if err != nil || before-after < 2<<20 {
		t.Errorf("db/ took %d bytes and takes %d, %v", before, after, err)
	}
	if gained, again, err := s.Reclaim(t.Context()); err != nil || again || gained != 0 {
		t.Errorf("got %d bytes, %v, %v, want that nothing is left to reclaim", gained, again, err)
	}
	mustRecord(t, s, audit.Event{Kind: audit.EventReport})
	if err := s.Verify(t.Context()); err != nil {
		t.Error(err)
	}
	s = reopen(t, s)
	if err := s.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}
