package store

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/audit"
	"latchkey/gateway/store/record"
	"latchkey/keys"
)

func TestRecordFillsTheChain(t *testing.T) {
	c := newClock()
	s := buildHouse(t, Options{Now: c.Now})
	seq, prev := s.Head()
	at := time.Date(2026, 3, 2, 10, 0, 0, 5, time.FixedZone("CET", 3600))
	ev := mustRecord(t, s, audit.Event{Seq: 99, Hash: keys.Hash{1}, Kind: audit.EventReport, At: at,
		Detail: "tamper\xff"})
	if ev.Seq != seq+1 || ev.Prev != prev || ev.Hash == (keys.Hash{}) || !ev.At.Equal(at) {
		t.Errorf("got %+v, want it chained to event %d", ev, seq)
	}
	got := mustEvents(t, s, ev.Seq)[0]
	if got.Hash != ev.Hash || got.Prev != prev || !got.At.Equal(at) || got.Detail != "tamper\uFFFD" {
		t.Errorf("got %+v, want %+v with storable text", got, ev)
	}
	if ev := mustRecord(t, s, audit.Event{Kind: audit.EventStart}); !ev.At.Equal(c.Now()) ||
		ev.Digest != s.Digest() {
		t.Errorf("got %+v, want the time and the policy digest", ev)
	}
}

func TestRecordRefuses(t *testing.T) {
	s := buildHouse(t, Options{})
	for name, ev := range map[string]audit.Event{
		"a decision":      {Kind: audit.EventDecision},
		"a policy change": {Kind: audit.EventPolicy},
		"no kind":         {},
		"a whole UID":     {Kind: audit.EventReport, Card: "04a1b2c3d4e580"},
		"too much text": {Kind: audit.EventReport,
			Detail: strings.Repeat("x", record.MaxEventText)},
		"a time beyond storing":   {Kind: audit.EventReport, At: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)},
		"a receipt of nothing":    {Kind: audit.EventReceipt},
		"a receipt of the future": {Kind: audit.EventReceipt, Cause: 1000},
	} {
		if got, err := s.Record(context.Background(), ev); !errors.Is(err, ErrRefused) || got.Seq != 0 {
			t.Errorf("%s: got %+v, %v, want ErrRefused", name, got, err)
		}
	}
	if seq, _ := s.Head(); seq != 1 {
		t.Errorf("got head %d, want 1", seq)
	}
}

func TestReceiptBecomesTheOutcomeOfARepeat(t *testing.T) {
	s := buildHouse(t, Options{})
	first := mustAdmit(t, s, scan(s, 1))
	if got := mustAdmit(t, s, scan(s, 1)); !got.Duplicate || got.Outcome != "" {
		t.Errorf("got %+v, want no outcome yet", got)
	}
	mustRecord(t, s, audit.Event{Kind: audit.EventReceipt, Cause: first.Seq, Outcome: audit.OutcomeUnknown})
	if got := mustAdmit(t, s, scan(s, 1)); got.Outcome != audit.OutcomeUnknown {
		t.Errorf("got %+v, want unknown", got)
	}
	second := mustAdmit(t, s, scan(s, 2))
	mustRecord(t, s, audit.Event{Kind: audit.EventReceipt, Cause: first.Seq, Outcome: audit.OutcomeDone})
	if got := mustAdmit(t, s, scan(s, 2)); got.Seq != second.Seq || got.Outcome != "" {
		t.Errorf("got %+v, want that a receipt of an older decision does not change it", got)
	}
}

func TestReadingEvents(t *testing.T) {
	ctx := context.Background()
	c := newClock()
	s := mustOpen(t, Options{Now: c.Now})
	start := c.Now()
	for range 10 {
		mustRecord(t, s, audit.Event{Kind: audit.EventReport})
		c.move(time.Minute)
	}
	seqs := func(evs []audit.Event, err error) (out []uint64) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
		for _, ev := range evs {
			out = append(out, ev.Seq)
		}
		return out
	}
	for _, test := range []struct {
		name        string
		got         []uint64
		first, last uint64
	}{
		{"all from 0", seqs(s.Events(ctx, 0, 100)), 1, 10},
		{"all from 1", seqs(s.Events(ctx, 1, 100)), 1, 10},
		{"a page", seqs(s.Events(ctx, 4, 3)), 4, 6},
		{"the last", seqs(s.Events(ctx, 10, 3)), 10, 10},
		{"beyond the last", seqs(s.Events(ctx, 11, 3)), 0, 0},
		{"none", seqs(s.Events(ctx, 1, 0)), 0, 0},
		{"far beyond", seqs(s.Events(ctx, 1<<63, 1<<30)), 0, 0},
		{"newest", seqs(s.Newest(ctx, 4)), 7, 10},
		{"more newest than there are", seqs(s.Newest(ctx, 400)), 1, 10},
		{"since", seqs(s.EventsSince(ctx, start.Add(5*time.Minute), 100)), 6, 10},
		{"since, only the newest", seqs(s.EventsSince(ctx, start, 2)), 9, 10},
		{"since later", seqs(s.EventsSince(ctx, c.Now(), 100)), 0, 0},
	} {
		n := int(test.last - test.first)
		if test.last > 0 {
			n++
		}
		if len(test.got) != n || n > 0 && (test.got[0] != test.first || test.got[n-1] != test.last) {
			t.Errorf("%s: got %v, want %d to %d", test.name, test.got, test.first, test.last)
		}
	}
}

func TestSinceLooksPastAWrongClock(t *testing.T) {
	c := newClock()
	s := mustOpen(t, Options{Now: c.Now})
	at := c.Now()
	mustRecord(t, s, audit.Event{Kind: audit.EventReport})
	mustRecord(t, s, audit.Event{Kind: audit.EventStart, At: time.Unix(0, 0)})
	mustRecord(t, s, audit.Event{Kind: audit.EventReport})
	evs, err := s.EventsSince(context.Background(), at, 10)
	if err != nil || len(evs) != 2 || evs[0].Seq != 1 {
		t.Errorf("got %v, %v, want events 1 and 3", evs, err)
	}
}

func TestLastEventAt(t *testing.T) {
	c := newClock()
	s := mustOpen(t, Options{Dir: t.TempDir(), Now: c.Now})
	if at, ok := s.LastEventAt(); ok {
		t.Errorf("got %v, want none yet", at)
	}
	wantAt := func(what string, want time.Time) {
		t.Helper()
		if at, ok := s.LastEventAt(); !ok || !at.Equal(want) {
			t.Errorf("%s: got %v, want %v", what, at, want)
		}
	}
	future := c.Now().AddDate(5, 0, 0)
	mustRecord(t, s, audit.Event{Kind: audit.EventStart, At: future})
	wantAt("a clock far ahead", future)
	mustRecord(t, s, audit.Event{Kind: audit.EventStart})
	wantAt("a corrected clock does not hide it", future)
	s = reopen(t, s)
	wantAt("after reopening", future)
	ev := mustRecord(t, s, audit.Event{Kind: audit.EventTimeTrusted})
	mustApply(t, s, putAll(access.Site{Zone: "UTC", TimeTrusted: ev.Seq})...)
	wantAt("after somebody vouched for the clock", c.Now())
	mustApply(t, s, putAll(access.Site{Zone: "UTC", TimeTrusted: 1})...)
	wantAt("only later events count", c.Now())
	mustApply(t, s, putAll(access.Site{Zone: "UTC"})...)
	wantAt("the trust is withdrawn", future)
	s = reopen(t, s)
	wantAt("the trust is withdrawn, after reopening", future)
}

func TestReadersSurviveClose(t *testing.T) {
	s := buildHouse(t, Options{Dir: t.TempDir()})
	for range 200 {
		mustRecord(t, s, audit.Event{Kind: audit.EventReport, Detail: strings.Repeat("x", 1000)})
	}
	var wg sync.WaitGroup
	started := make(chan struct{}, 4)
	for range 4 {
		wg.Go(func() {
			for n := 0; ; n++ {
				_, err := s.Events(context.Background(), 1, 1000)
				if err == nil {
					err = s.Verify(context.Background())
				}
				if err != nil {
					if !errors.Is(err, ErrClosed) {
						t.Errorf("got %v, want ErrClosed", err)
					}
					return
				}
				if n == 1 {
					started <- struct{}{}
				}
			}
		})
	}
	for range 4 {
		<-started
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
}
