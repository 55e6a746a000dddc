package store

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"latchkey/gateway/access"
)

// counterRecords is how many counters are on disk.
func counterRecords(s *Store) uint64 { return s.now.Load().head.counters.count }

// TestCountersHoldWithoutTheirRecords opens a store whose counters are partly or wholly in the chain alone.
func TestCountersHoldWithoutTheirRecords(t *testing.T) {
	for _, test := range []struct {
		name       string
		checkpoint uint64
		records    uint64 // on disk at the end
	}{
		{"none written", 1000, 0},
		{"all but the newest written", 1, 1},
		{"an older one written", 4, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newClock()
			s := built(t, Options{Dir: t.TempDir(), Now: c.Now, checkpoint: test.checkpoint})
			var last Admission
			for n := range uint64(6) {
				last = mustAdmit(t, s, scan(s, n+1))
				mustRecord(t, s, access.Event{Kind: access.EventReceipt, Cause: last.Seq, Outcome: access.OutcomeRefused})
			}
			if n := counterRecords(s); n != test.records {
				t.Errorf("got %d counter records, want %d", n, test.records)
			}
			for range 2 {
				s = reopened(t, s)
				got := mustAdmit(t, s, scan(s, 6))
				if !got.Duplicate || got.Seq != last.Seq || got.Outcome != access.OutcomeRefused || got.Decision != last.Decision || got.Last != 6 {
					t.Errorf("got %+v, want the recorded %+v", got, last)
				}
				other := scan(s, 6)
				other.Credential = s.CredentialID([]byte{1, 2, 3, 4})
				if got := mustAdmit(t, s, other); got.Duplicate || got.Decision.Reason != access.ReasonReplayed {
					t.Errorf("another card: got %+v, want replayed", got)
				}
			}
			c.move(repeatWindow + 1)
			if got := mustAdmit(t, s, scan(s, 6)); got.Duplicate || got.Decision.Reason != access.ReasonReplayed {
				t.Errorf("past a minute: got %+v, want replayed", got)
			}
			// A receipt that comes after the checkpoint belongs to a decision before it.
			adm := mustAdmit(t, s, scan(s, 7))
			for range test.checkpoint % 5 {
				mustRecord(t, s, access.Event{Kind: access.EventReport})
			}
			mustRecord(t, s, access.Event{Kind: access.EventReceipt, Cause: adm.Seq, Outcome: access.OutcomeDone})
			s = reopened(t, s)
			if got := mustAdmit(t, s, scan(s, 7)); !got.Duplicate || got.Outcome != access.OutcomeDone {
				t.Errorf("got %+v, want done", got)
			}
		})
	}
}

// TestLargestCheckpointFits moves as many counters as there can be before one checkpoint, in batches as large as there can be.
func TestLargestCheckpointFits(t *testing.T) {
	for _, dir := range []string{"", t.TempDir()} {
		g := newGate()
		s := built(t, Options{Dir: dir, BeforeCommit: g.beforeCommit})
		devices := 0
		batch := func(n int) {
			var wg sync.WaitGroup
			g.behind(t, s, n, func() {
				for range n {
					a := scan(s, 1)
					a.Device = id(fmt.Sprint("reader", devices))
					devices++
					wg.Go(func() {
						if _, err := s.Admit(context.Background(), a); err != nil {
							t.Error(err)
						}
					})
				}
			})
			wg.Wait()
		}
		fill := func(events int) {
			for range events {
				a := scan(s, 1)
				a.Device = id(fmt.Sprint("reader", devices))
				devices++
				mustAdmit(t, s, a)
			}
		}
		fill(checkpointEvents - 4) // and the house, and two events that batches are queued behind
		batch(maxBatch)
		if n := counterRecords(s); n != 0 {
			t.Fatalf("got %d counter records before the checkpoint, want none", n)
		}
		all := devices
		mustAdmit(t, s, scan(s, 1))
		if n := counterRecords(s); n != uint64(all) || n < checkpointEvents+maxBatch-8 {
			t.Errorf("got %d counter records, want those of all %d readers", n, all)
		}
		if dir != "" {
			s = reopened(t, s)
		}
		a := scan(s, 1)
		a.Device = id("reader17")
		if got := mustAdmit(t, s, a); got.Last != 1 || got.Decision.Granted {
			t.Errorf("got %+v, want the counter kept", got)
		}
		if w := s.now.Load().head; w.seq-w.countersAt > 8 {
			t.Errorf("got a checkpoint at %d of %d events", w.countersAt, w.seq)
		}
	}
}
