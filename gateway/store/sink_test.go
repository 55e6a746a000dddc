package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/access/sinks"
	"latchkey/gateway/audit"
	"latchkey/keys"
)

func mustSinkCursor(t testing.TB, s *Store, sink access.ID) (audit.SinkCursor, bool) {
	t.Helper()
	c, ok, err := s.SinkCursor(context.Background(), sink)
	if err != nil {
		t.Fatal(err)
	}
	return c, ok
}

func mustMoveCursor(t testing.TB, s *Store, sink access.ID, c audit.SinkCursor, dead ...audit.DeadLetter) {
	t.Helper()
	if err := s.MoveSinkCursor(context.Background(), sink, c, dead...); err != nil {
		t.Fatal(err)
	}
}

func mustDeadLetters(t testing.TB, s *Store, sink access.ID) []audit.DeadLetter {
	t.Helper()
	out, err := s.DeadLetters(context.Background(), sink, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func letter(seq uint64) audit.DeadLetter {
	return audit.DeadLetter{Seq: seq, Why: fmt.Sprint("refused ", seq), Tries: 3,
		At: time.Date(2026, 5, 1, 0, 0, 0, int(seq), time.UTC)}
}

func TestSinkCursorOutlivesARestart(t *testing.T) {
	s := buildHouse(t, Options{Dir: t.TempDir()})
	hook, queue := id("hook"), id("queue")
	if c, ok := mustSinkCursor(t, s, hook); ok || c != (audit.SinkCursor{}) {
		t.Errorf("before the first: got %+v, %v", c, ok)
	}
	before, digest := s.Snapshot(), s.Digest()
	seq, _ := s.Head()
	first := audit.SinkCursor{Epoch: 1, Seq: 1, Hash: keys.Hash{1}}
	second := audit.SinkCursor{Epoch: 2, Seq: 4, Hash: keys.Hash{4}, Failing: time.Unix(1, 2)}
	mustMoveCursor(t, s, hook, first, letter(4), letter(2))
	mustMoveCursor(t, s, queue, first, letter(3))
	mustMoveCursor(t, s, hook, second)
	if after, _ := s.Head(); after != seq || s.Snapshot() != before || s.Digest() != digest {
		t.Error("a cursor made an event or changed the policy")
	}
	s = reopen(t, s)
	second.Failing = second.Failing.UTC()
	if c, _ := mustSinkCursor(t, s, hook); c != second {
		t.Errorf("got %+v, want %+v", c, second)
	}
	if got := mustDeadLetters(t, s, hook); !slices.Equal(got, []audit.DeadLetter{letter(2), letter(4)}) {
		t.Errorf("got %+v, want 2 and 4", got)
	}
	if got, err := s.DeadLetters(context.Background(), hook, 1); err != nil || len(got) != 1 ||
		got[0] != letter(2) {
		t.Errorf("one: got %+v, %v", got, err)
	}
	if err := s.RemoveDeadLetter(context.Background(), hook, 2); err != nil {
		t.Fatal(err)
	}
	if err := s.RemoveDeadLetter(context.Background(), hook, 2); !errors.Is(err, access.ErrNotFound) {
		t.Errorf("again: got %v, want ErrNotFound", err)
	}
	s = reopen(t, s)
	if got := mustDeadLetters(t, s, hook); !slices.Equal(got, []audit.DeadLetter{letter(4)}) {
		t.Errorf("got %+v, want 4", got)
	}
}

// With a sink all goes that belongs to it, and nothing of another. A sink that is not there gets
// nothing.
func TestCursorGoesWithItsSink(t *testing.T) {
	s := buildHouse(t, Options{Dir: t.TempDir()})
	hook, queue := id("hook"), id("queue")
	c := audit.SinkCursor{Epoch: 1, Seq: 1}
	mustMoveCursor(t, s, hook, c, letter(2), letter(3))
	mustMoveCursor(t, s, queue, c, letter(2))
	mustMoveCursor(t, s, id("nobody"), c, letter(2))
	mustApply(t, s, access.Change{Delete: sinks.Sink{ID: hook}})
	mustMoveCursor(t, s, hook, c, letter(4)) // it was under way
	for range 2 {
		for _, gone := range []access.ID{hook, id("nobody")} {
			if _, ok := mustSinkCursor(t, s, gone); ok || len(mustDeadLetters(t, s, gone)) > 0 {
				t.Errorf("%s: something is left", gone)
			}
		}
		if _, ok := mustSinkCursor(t, s, queue); !ok || len(mustDeadLetters(t, s, queue)) != 1 {
			t.Error("the other sink lost something")
		}
		s = reopen(t, s)
	}
}

func TestDeadLettersAreBounded(t *testing.T) {
	s := buildHouse(t, Options{})
	var all []audit.DeadLetter
	for seq := range uint64(maxDead) {
		all = append(all, letter(seq+1))
	}
	c := audit.SinkCursor{Epoch: 1, Seq: 1}
	mustMoveCursor(t, s, id("hook"), c, all...)
	err := s.MoveSinkCursor(context.Background(), id("hook"), audit.SinkCursor{Epoch: 1, Seq: 2},
		letter(maxDead+1))
	if !errors.Is(err, ErrTooBig) {
		t.Errorf("got %v, want ErrTooBig", err)
	}
	if got, _ := mustSinkCursor(t, s, id("hook")); got != c {
		t.Errorf("the cursor moved to %+v", got)
	}
	mustMoveCursor(t, s, id("hook"), audit.SinkCursor{Epoch: 1, Seq: 3})
	mustApply(t, s, access.Change{Delete: sinks.Sink{ID: id("hook")}})
}

// The id of a site follows from its key: it stays, and another site has another.
func TestSiteIDStays(t *testing.T) {
	s := buildHouse(t, Options{Dir: t.TempDir()})
	first := s.SiteID()
	if !first.Valid() {
		t.Errorf("got %q", first)
	}
	if again := reopen(t, s).SiteID(); again != first {
		t.Errorf("got %q, then %q", first, again)
	}
	if other := buildHouse(t, Options{}).SiteID(); other == first {
		t.Errorf("two sites have the id %q", first)
	}
}
