package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"latchkey/gateway/audit"
	"latchkey/gateway/store/record"
)

// recordTogether makes n events durable in one commit, in the order in which each returns them, and
// returns the numbers of the first and the last.
func recordTogether(t *testing.T, g *gate, s *Store, n int, each func(i int) audit.Event) (first,
	last uint64) {
	t.Helper()
	var wg sync.WaitGroup
	g.runBehind(t, s, n, func() {
		for i := range n {
			wg.Go(func() {
				if _, err := s.Record(context.Background(), each(i)); err != nil {
					t.Error(err)
				}
			})
			waitFor(t, func() bool { return len(s.queue) == i+1 })
		}
	})
	wg.Wait()
	last, _ = s.Head()
	return last - uint64(n) + 1, last
}

// listPages returns the number of the first event of each page on disk.
func listPages(t *testing.T, s *Store) (firsts []uint64) {
	t.Helper()
	err := s.db.View(func(txn *badger.Txn) error {
		return s.reader.ForEach(context.Background(), txn, record.KindEvent,
			func(key record.Key, _ []byte) error {
				firsts = append(firsts, key.Seq())
				return nil
			})
	})
	if err != nil {
		t.Fatal(err)
	}
	return firsts
}

func TestEventsOfOneCommitShareAPage(t *testing.T) {
	ctx := context.Background()
	g, c := newGate(), newClock()
	s := mustOpen(t, Options{Dir: t.TempDir(), Now: c.Now, BeforeCommit: g.beforeCommit})
	start := c.Now()
	at := func(seq uint64) time.Time { return start.Add(time.Duration(seq) * time.Minute) }
	// Events 1 and 12 are in commits of their own; the others are queued behind them.
	recordTogether(t, g, s, 10,
		func(i int) audit.Event { return audit.Event{Kind: audit.EventReport, At: at(uint64(i) + 2)} })
	recordTogether(t, g, s, 10,
		func(i int) audit.Event { return audit.Event{Kind: audit.EventReport, At: at(uint64(i) + 13)} })
	if got := fmt.Sprint(listPages(t, s)); got != "[1 2 12 13]" {
		t.Errorf("got pages %s, want [1 2 12 13]", got)
	}
	s = reopen(t, s)
	for first := uint64(1); first <= 22; first++ {
		for _, limit := range []int{1, 3, 100} {
			evs, err := s.Events(ctx, first, limit)
			if err != nil {
				t.Fatal(err)
			}
			want := min(limit, 22-int(first)+1)
			if len(evs) != want || evs[0].Seq != first || evs[want-1].Seq != first+uint64(want)-1 {
				t.Errorf("from %d, at most %d: got %d events from %d, want %d", first, limit, len(evs),
					evs[0].Seq, want)
			}
		}
	}
	evs, err := s.EventsSince(ctx, at(15), 100)
	if err != nil || len(evs) != 8 || evs[0].Seq != 15 || evs[7].Seq != 22 {
		t.Errorf("since: got %d events, %v, want 15 to 22", len(evs), err)
	}
	if err := s.Verify(ctx); err != nil {
		t.Error(err)
	}
}

func TestFullPageIsFollowedByAnother(t *testing.T) {
	g := newGate()
	s := mustOpen(t, Options{Dir: t.TempDir(), BeforeCommit: g.beforeCommit})
	long := strings.Repeat("x", 4000)
	first, last := recordTogether(t, g, s, 20,
		func(int) audit.Event { return audit.Event{Kind: audit.EventReport, Detail: long} })
	if g.commits != 1 {
		t.Errorf("got %d commits, want 1", g.commits)
	}
	firsts := listPages(t, s)
	if n := len(firsts) - 1; n < 4 || n > 6 {
		t.Errorf("got %d pages for 80 KB, want five of 16 KB", n)
	}
	if evs := mustEvents(t, s, first); len(evs) != 20 || evs[19].Seq != last || evs[7].Detail != long {
		t.Errorf("got %d events, want 20", len(evs))
	}
	reopen(t, s)
}

func TestMissingOrForeignPageIsNamed(t *testing.T) {
	for _, test := range []struct {
		name   string
		tamper func(txn *badger.Txn) error
		open   string // the error of Open; empty: it opens, since only Verify reads old events
		verify string
	}{
		{"an old one removed",
			func(txn *badger.Txn) error { return txn.Delete([]byte(record.EventKey(2))) }, "",
			"event 2 is missing"},
		{"the newest removed", func(txn *badger.Txn) error { return txn.Delete([]byte(record.EventKey(9))) },
			"event 9: missing", ""},
		{"the newest replaced by an older one", func(txn *badger.Txn) error {
			return txn.Set([]byte(record.EventKey(9)), getRaw(t, txn, record.EventKey(2)))
		}, "event 9", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := newGate()
			o := Options{Dir: t.TempDir(), BeforeCommit: g.beforeCommit, checkpoint: 8}
			s := mustOpen(t, o)
			for range 2 { // events 1, 2 to 7, 8, 9 to 14; the commit of event 9 begins with a checkpoint
				recordTogether(t, g, s, 6,
					func(int) audit.Event { return audit.Event{Kind: audit.EventReport} })
			}
			if got := fmt.Sprint(listPages(t, s), s.now.Load().head.CountersAt); got != "[1 2 8 9] 8" {
				t.Fatalf("got pages and checkpoint %s, want [1 2 8 9] 8", got)
			}
			checkAndClose(t, s)
			undo := readRaw(t, o.Dir)
			editRaw(t, o.Dir, test.tamper)
			if test.open != "" {
				wantNamed(t, openRefused(t, o), test.open)
			} else {
				s, err := Open(context.Background(), o)
				if err != nil {
					t.Fatal(err)
				}
				if err := s.Verify(context.Background()); !errors.Is(err, ErrCorrupt) {
					t.Errorf("got %v, want ErrCorrupt", err)
				} else {
					wantNamed(t, err.Error(), test.verify)
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
			editRaw(t, o.Dir, func(txn *badger.Txn) error {
				return errors.Join(txn.Set([]byte(record.EventKey(2)), undo[record.EventKey(2)]),
					txn.Set([]byte(record.EventKey(9)), undo[record.EventKey(9)]))
			})
		})
	}
}
