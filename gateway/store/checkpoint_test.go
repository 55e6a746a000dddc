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

// countCounters is how many counters are on disk.
func countCounters(s *Store) uint64 { return s.now.Load().head.Counters.Count }

// TestCountersHoldWithoutTheirRecords opens a store in which some or all counters are only in the
// chain.
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
			s := buildHouse(t, Options{Dir: t.TempDir(), Now: c.Now, checkpoint: test.checkpoint})
			var last Admission
			for n := range uint64(6) {
				last = mustAdmit(t, s, scan(s, n+1))
				mustRecord(t, s, audit.Event{Kind: audit.EventReceipt, Cause: last.Seq,
					Outcome: audit.OutcomeRefused})
			}
			if n := countCounters(s); n != test.records {
				t.Errorf("got %d counter records, want %d", n, test.records)
			}
			for range 2 {
				s = reopen(t, s)
				got := mustAdmit(t, s, scan(s, 6))
				if !got.Duplicate || got.Seq != last.Seq || got.Outcome != audit.OutcomeRefused ||
					got.Decision != last.Decision || got.Last != 6 {
					t.Errorf("got %+v, want the recorded %+v", got, last)
				}
				other := scan(s, 6)
				other.Credential = s.CredentialID([]byte{1, 2, 3, 4})
				if got := mustAdmit(t, s, other); got.Duplicate ||
					got.Decision.Reason != access.ReasonReplayed {
					t.Errorf("another card: got %+v, want replayed", got)
				}
			}
			c.move(record.RepeatWindow + 1)
			if got := mustAdmit(t, s, scan(s, 6)); got.Duplicate ||
				got.Decision.Reason != access.ReasonReplayed {
				t.Errorf("after more than a minute: got %+v, want replayed", got)
			}
			// A receipt after the checkpoint belongs to a decision before it.
			adm := mustAdmit(t, s, scan(s, 7))
			for range test.checkpoint % 5 {
				mustRecord(t, s, audit.Event{Kind: audit.EventReport})
			}
			mustRecord(t, s, audit.Event{Kind: audit.EventReceipt, Cause: adm.Seq,
				Outcome: audit.OutcomeDone})
			s = reopen(t, s)
			if got := mustAdmit(t, s, scan(s, 7)); !got.Duplicate || got.Outcome != audit.OutcomeDone {
				t.Errorf("got %+v, want done", got)
			}
		})
	}
}

// TestLargestCheckpointFits moves as many counters before a checkpoint as possible, in batches as
// large as possible.
func TestLargestCheckpointFits(t *testing.T) {
	for _, dir := range []string{"", t.TempDir()} {
		g := newGate()
		s := buildHouse(t, Options{Dir: dir, BeforeCommit: g.beforeCommit})
		devices := 0
		batch := func(n int) {
			var wg sync.WaitGroup
			g.runBehind(t, s, n, func() {
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
		fill(checkpointEvents - 4) // besides the house, and two events behind which batches are queued
		batch(maxBatch)
		if n := countCounters(s); n != 0 {
			t.Fatalf("got %d counter records before the checkpoint, want none", n)
		}
		all := devices
		mustAdmit(t, s, scan(s, 1))
		if n := countCounters(s); n != uint64(all) || n < checkpointEvents+maxBatch-8 {
			t.Errorf("got %d counter records, want those of all %d readers", n, all)
		}
		if dir != "" {
			s = reopen(t, s)
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

// The text that a counter keeps of an event is bounded, so that a checkpoint always fits.
func TestCounterTextIsBounded(t *testing.T) {
	s := buildHouse(t, Options{})
	adm := mustAdmit(t, s, scan(s, 1))
	_, err := s.Record(context.Background(), audit.Event{Kind: audit.EventReceipt, Cause: adm.Seq,
		Outcome: audit.Outcome(strings.Repeat("x", record.MaxCounterText+1))})
	if !errors.Is(err, ErrRefused) {
		t.Errorf("got %v, want ErrRefused", err)
	}
	if got := mustAdmit(t, s, scan(s, 1)); got.Outcome != "" {
		t.Errorf("got %+v, want no outcome", got)
	}
}

// Text that is not UTF-8 is stored in another form. The counter in memory must get that form too,
// as it does when the event is read again.
func TestTextThatIsNotUTF8(t *testing.T) {
	s := buildHouse(t, Options{Dir: t.TempDir(), checkpoint: 3})
	adm := mustAdmit(t, s, scan(s, 1))
	ev := mustRecord(t, s, audit.Event{Kind: audit.EventReceipt, Cause: adm.Seq, Outcome: "d\xffne"})
	if ev.Outcome != "d\uFFFDne" {
		t.Errorf("got %q, want the text in its stored form", ev.Outcome)
	}
	for range 4 {
		mustRecord(t, s, audit.Event{Kind: "rep\xffort"})
		s = reopen(t, s)
		if got := mustAdmit(t, s, scan(s, 1)); got.Outcome != ev.Outcome {
			t.Errorf("got %q, want %q", got.Outcome, ev.Outcome)
		}
	}
}

// A repeat counts as one even if the clock was set back between the scan and its decision.
func TestRepeatAfterAStepBack(t *testing.T) {
	c := newClock()
	s := buildHouse(t, Options{Dir: t.TempDir(), Now: c.Now})
	a := scan(s, 5)
	c.move(-2 * time.Second)
	first := mustAdmit(t, s, a)
	c.move(time.Second)
	for range 2 {
		if got := mustAdmit(t, s, scan(s, 5)); !got.Duplicate || got.Seq != first.Seq {
			t.Errorf("got %+v, want the recorded answer of event %d", got, first.Seq)
		}
		s = reopen(t, s)
	}
}

// Somebody with the site key forges a counter that refers to another device's decision.
func TestTwoCountersOfOneEvent(t *testing.T) {
	o := Options{Dir: t.TempDir(), checkpoint: 1}
	s := buildHouse(t, o)
	a := scan(s, 10)
	mustAdmit(t, s, a)
	a.Device = id("back-reader")
	mustAdmit(t, s, a)
	mustRecord(t, s, audit.Event{Kind: audit.EventReport})
	h := s.now.Load().head
	front, back := record.CounterKey(id("front-reader")), record.CounterKey(id("back-reader"))
	checkAndClose(t, s)
	for name, change := range map[string]func(mine *record.Counter, other record.Counter){
		"two of one event":  func(mine *record.Counter, other record.Counter) { mine.Seq = other.Seq },
		"of no event":       func(mine *record.Counter, _ record.Counter) { mine.Seq = 0 },
		"of a future event": func(mine *record.Counter, _ record.Counter) { mine.Seq = h.CountersAt + 1 },
	} {
		editRaw(t, o.Dir, func(txn *badger.Txn) error {
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
			hp := head.AppendTo(nil)
			h = head
			return errors.Join(err1, err2, err3,
				txn.Set([]byte(front), s.sealer.Seal(string(front), forged)),
				txn.Set([]byte(record.HeadKey), s.sealer.Seal(string(record.HeadKey), hp)))
		})
		if got := openRefused(t, o); !strings.Contains(got, "counter") {
			t.Errorf("%s: got %q, want the counter named", name, got)
		}
	}
}
