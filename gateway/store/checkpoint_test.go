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

	"latchkey/gateway/access"
	"latchkey/gateway/audit"
	"latchkey/gateway/store/record"
)

// counterRecords is how many counters are on disk.
func counterRecords(s *Store) uint64 { return s.now.Load().head.Counters.Count }

// TestCountersHoldWithoutTheirRecords opens a store whose counters are partly or wholly in the
// chain alone.
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
				mustRecord(t, s, audit.Event{Kind: audit.EventReceipt, Cause: last.Seq, Outcome: audit.OutcomeRefused})
			}
			if n := counterRecords(s); n != test.records {
				t.Errorf("got %d counter records, want %d", n, test.records)
			}
			for range 2 {
				s = reopened(t, s)
				got := mustAdmit(t, s, scan(s, 6))
				if !got.Duplicate || got.Seq != last.Seq || got.Outcome != audit.OutcomeRefused || got.Decision != last.Decision || got.Last != 6 {
					t.Errorf("got %+v, want the recorded %+v", got, last)
				}
				other := scan(s, 6)
				other.Credential = s.CredentialID([]byte{1, 2, 3, 4})
				if got := mustAdmit(t, s, other); got.Duplicate || got.Decision.Reason != access.ReasonReplayed {
					t.Errorf("another card: got %+v, want replayed", got)
				}
			}
			c.move(record.RepeatWindow + 1)
			if got := mustAdmit(t, s, scan(s, 6)); got.Duplicate || got.Decision.Reason != access.ReasonReplayed {
				t.Errorf("past a minute: got %+v, want replayed", got)
			}
			// A receipt that comes after the checkpoint belongs to a decision before it.
			adm := mustAdmit(t, s, scan(s, 7))
			for range test.checkpoint % 5 {
				mustRecord(t, s, audit.Event{Kind: audit.EventReport})
			}
			mustRecord(t, s, audit.Event{Kind: audit.EventReceipt, Cause: adm.Seq, Outcome: audit.OutcomeDone})
			s = reopened(t, s)
			if got := mustAdmit(t, s, scan(s, 7)); !got.Duplicate || got.Outcome != audit.OutcomeDone {
				t.Errorf("got %+v, want done", got)
			}
		})
	}
}

// TestLargestCheckpointFits moves as many counters as there can be before one checkpoint, in
// batches as large as there can be.
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
		if w := s.now.Load().head; w.Seq-w.CountersAt > 8 {
			t.Errorf("got a checkpoint at %d of %d events", w.CountersAt, w.Seq)
		}
	}
}

// What a counter keeps of an event is bounded, so that a checkpoint always fits.
func TestCounterTextIsBounded(t *testing.T) {
	s := built(t, Options{})
	adm := mustAdmit(t, s, scan(s, 1))
	_, err := s.Record(context.Background(), audit.Event{Kind: audit.EventReceipt, Cause: adm.Seq, Outcome: audit.Outcome(strings.Repeat("x", record.MaxCounterText+1))})
	if !errors.Is(err, ErrRefused) {
		t.Errorf("got %v, want ErrRefused", err)
	}
	if got := mustAdmit(t, s, scan(s, 1)); got.Outcome != "" {
		t.Errorf("got %+v, want no outcome", got)
	}
}

// Text that cannot be stored as it is moves the counter in memory as it does when it is read again.
func TestTextThatIsNotUTF8(t *testing.T) {
	s := built(t, Options{Dir: t.TempDir(), checkpoint: 3})
	adm := mustAdmit(t, s, scan(s, 1))
	ev := mustRecord(t, s, audit.Event{Kind: audit.EventReceipt, Cause: adm.Seq, Outcome: "d\xffne"})
	if ev.Outcome != "d\uFFFDne" {
		t.Errorf("got %q, want what is stored", ev.Outcome)
	}
	for range 4 {
		mustRecord(t, s, audit.Event{Kind: "rep\xffort"})
		s = reopened(t, s)
		if got := mustAdmit(t, s, scan(s, 1)); got.Outcome != ev.Outcome {
			t.Errorf("got %q, want %q", got.Outcome, ev.Outcome)
		}
	}
}

// The clock is set back between the reading of a scan and its decision: a repeat is one all the
// same.
func TestRepeatAfterAStepBack(t *testing.T) {
	c := newClock()
	s := built(t, Options{Dir: t.TempDir(), Now: c.Now})
	a := scan(s, 5)
	c.move(-2 * time.Second)
	first := mustAdmit(t, s, a)
	c.move(time.Second)
	for range 2 {
		if got := mustAdmit(t, s, scan(s, 5)); !got.Duplicate || got.Seq != first.Seq {
			t.Errorf("got %+v, want the recorded answer of event %d", got, first.Seq)
		}
		s = reopened(t, s)
	}
}

// Somebody with the site key puts a counter back to another device's decision.
func TestTwoCountersOfOneEvent(t *testing.T) {
	o := Options{Dir: t.TempDir(), checkpoint: 1}
	s := built(t, o)
	a := scan(s, 10)
	mustAdmit(t, s, a)
	a.Device = id("back-reader")
	mustAdmit(t, s, a)
	mustRecord(t, s, audit.Event{Kind: audit.EventReport})
	h := s.now.Load().head
	front, back := record.CounterKey(id("front-reader")), record.CounterKey(id("back-reader"))
	closeChecked(t, s)
	for name, change := range map[string]func(mine *record.Counter, other record.Counter){
		"of one event":   func(mine *record.Counter, other record.Counter) { mine.Seq = other.Seq },
		"of no event":    func(mine *record.Counter, _ record.Counter) { mine.Seq = 0 },
		"of one to come": func(mine *record.Counter, _ record.Counter) { mine.Seq = h.CountersAt + 1 },
	} {
		raw(t, o.Dir, func(txn *badger.Txn) error {
			leaf := record.NewLeafer(s.keys.Digest)
			pf, err := s.reader.Get(txn, front)
			if err != nil {
				return err
			}
			pb, err := s.reader.Get(txn, back)
			if err != nil {
				return err
			}
			mine, err1 := record.DecodeCounter(pf)
			other, err2 := record.DecodeCounter(pb)
			change(&mine, other)
			mine.Last = 1
			forged, err3 := mine.Encode()
			head := h
			head.Counters = head.Counters.Without(leaf.Leaf(front, pf)).With(leaf.Leaf(front, forged))
			hp, err4 := head.Encode()
			h = head
			return errors.Join(err1, err2, err3, err4, txn.Set([]byte(front), s.sealer.Seal(string(front), forged)),
				txn.Set([]byte(record.HeadKey), s.sealer.Seal(string(record.HeadKey), hp)))
		})
		if got := refused(t, o); !strings.Contains(got, "counter") {
			t.Errorf("%s: got %q, want the counter named", name, got)
		}
	}
}
