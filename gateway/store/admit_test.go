package store

import (
	"context"
	"errors"
	"testing"
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/audit"
	"latchkey/gateway/store/record"
	"latchkey/keys"
)

func TestAdmitWritesTheDecision(t *testing.T) {
	c := newClock()
	s := buildHouse(t, Options{Now: c.Now})
	a := scan(s, 7)
	a.ClockTrusted = false
	adm := mustAdmit(t, s, a)
	if !adm.Decision.Granted || adm.Last != 7 || adm.Duplicate || adm.Seq != 2 ||
		!adm.Decided.Equal(c.Now()) || !adm.Durable.Equal(c.Now()) {
		t.Errorf("got %+v, want granted", adm)
	}
	got := mustEvents(t, s, adm.Seq)[0]
	want := audit.Event{Seq: 2, At: c.Now(), Kind: audit.EventDecision, Source: access.ByCard, Card: "e580",
		Action: wire.Unlock, Counter: 7,
		Device: audit.Named{ID: id("front-reader"), Name: "front-reader"},
		Target: audit.Named{ID: id("front"), Name: "front"},
		Person: audit.Named{ID: id("ann"), Name: "ann"}, Granted: true, Reason: access.ReasonGranted,
		Rule:           string(id("g1")),
		ClockUntrusted: true, Prev: got.Prev, Hash: got.Hash}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if _, hash := s.Head(); hash != got.Hash || got.Prev == (keys.Hash{}) {
		t.Error("the event is not chained")
	}
}

func TestReplayRules(t *testing.T) {
	const tap, repeat = 5, 5
	tests := []struct {
		name   string
		wait   time.Duration
		change func(s *Store, a *access.Attempt)
		want   access.Reason
		dup    bool
	}{
		{name: "the same again at once is a repeat", want: access.ReasonGranted, dup: true},
		{name: "the same after 60 s is a repeat", wait: record.RepeatWindow, want: access.ReasonGranted,
			dup: true},
		{name: "the same after more than 60 s is replayed", wait: record.RepeatWindow + 1,
			want: access.ReasonReplayed},
		{name: "the same before it was decided is replayed", wait: -1, want: access.ReasonReplayed},
		{name: "another card with the same counter is replayed", want: access.ReasonReplayed,
			change: func(s *Store, a *access.Attempt) { a.Credential = s.CredentialID([]byte{1, 2, 3, 4}) }},
		// the device is checked before the counter
		{name: "another source with the same counter is replayed", want: access.ReasonUnknownDevice,
			change: func(_ *Store, a *access.Attempt) { a.Source = access.ByDevice }},
		{name: "a lower counter is replayed", want: access.ReasonReplayed,
			change: func(_ *Store, a *access.Attempt) { a.Counter = tap - 1 }},
		{name: "the last counter that the caller gives is ignored", want: access.ReasonReplayed,
			change: func(_ *Store, a *access.Attempt) { a.Counter, a.Last = tap-1, 0 }},
		{name: "the same with another time of the tap is still a repeat", want: access.ReasonGranted,
			dup:    true,
			change: func(_ *Store, a *access.Attempt) { a.At = a.At.Add(time.Second) }},
		{name: "the next counter is a new attempt", want: access.ReasonGranted,
			change: func(_ *Store, a *access.Attempt) { a.Counter++ }},
		{name: "another reader has its own counter", want: access.ReasonUnknownDevice,
			change: func(_ *Store, a *access.Attempt) { a.Device = id("back-reader") }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := newClock()
			s := buildHouse(t, Options{Now: c.Now})
			first := mustAdmit(t, s, scan(s, tap))
			c.move(test.wait)
			a := scan(s, repeat)
			if test.change != nil {
				test.change(s, &a)
			}
			got := mustAdmit(t, s, a)
			if got.Decision.Reason != test.want || got.Duplicate != test.dup {
				t.Errorf("got %+v, want %s, duplicate %v", got, test.want, test.dup)
			}
			head, _ := s.Head()
			if test.dup && (got.Seq != first.Seq || head != first.Seq) {
				t.Errorf("got event %d and head %d, want the recorded %d", got.Seq, head, first.Seq)
			}
			if !test.dup && got.Seq != first.Seq+1 {
				t.Errorf("got event %d, want a new one", got.Seq)
			}
			if a.Device == id("front-reader") && got.Last != max(tap, a.Counter) {
				t.Errorf("got last %d, want %d", got.Last, max(tap, a.Counter))
			}
		})
	}
}

func TestSwitchRepeatNeedsTheSameAction(t *testing.T) {
	s := buildHouse(t, Options{})
	a := access.Attempt{Source: access.ByDevice, Device: id("hall-switch"), Target: id("hall"),
		Action: wire.Level, Level: 40, Counter: 1, At: time.Now()}
	first := mustAdmit(t, s, a)
	if !first.Decision.Granted {
		t.Fatalf("got %+v, want granted", first)
	}
	if got := mustAdmit(t, s, a); !got.Duplicate {
		t.Errorf("got %+v, want a repeat", got)
	}
	for name, change := range map[string]func(*access.Attempt){
		"level":  func(a *access.Attempt) { a.Level++ },
		"action": func(a *access.Attempt) { a.Action = wire.On },
		"target": func(a *access.Attempt) { a.Target = id("front") },
	} {
		b := a
		change(&b)
		if got := mustAdmit(t, s, b); got.Duplicate || got.Decision.Granted {
			t.Errorf("another %s: got %+v, want replayed", name, got)
		}
	}
}

func TestReplayedAttemptKeepsTheRecord(t *testing.T) {
	c := newClock()
	s := buildHouse(t, Options{Now: c.Now})
	first := mustAdmit(t, s, scan(s, 5))
	mustAdmit(t, s, scan(s, 3))
	if got := mustAdmit(t, s, scan(s, 5)); !got.Duplicate || got.Seq != first.Seq {
		t.Errorf("got %+v, want event %d repeated", got, first.Seq)
	}
}

func TestCounterMovesWhenDenied(t *testing.T) {
	s := buildHouse(t, Options{})
	mustApply(t, s, access.Change{Delete: access.Grant{ID: id("g1")}})
	got := mustAdmit(t, s, scan(s, 9))
	if got.Decision.Granted || got.Last != 9 {
		t.Errorf("got %+v, want denied at 9", got)
	}
	mustApply(t, s, putAll(access.Grant{ID: id("g1"), SubjectKind: access.SubjectPerson, Subject: id("ann"),
		Target: id("front"), Effect: access.Allow})...)
	if got := mustAdmit(t, s, scan(s, 8)); got.Decision.Reason != access.ReasonReplayed {
		t.Errorf("got %+v, want replayed", got)
	}
}

func TestCounterHoldsOverReopen(t *testing.T) {
	c := newClock()
	s := buildHouse(t, Options{Dir: t.TempDir(), Now: c.Now})
	first := mustAdmit(t, s, scan(s, 5))
	mustRecord(t, s, audit.Event{Kind: audit.EventReceipt, Cause: first.Seq, Outcome: audit.OutcomeDone})
	s = reopen(t, s)
	if got := mustAdmit(t, s, scan(s, 5)); !got.Duplicate || got.Outcome != audit.OutcomeDone ||
		got.Decision != first.Decision || got.Last != 5 {
		t.Errorf("got %+v, want the recorded %+v", got, first)
	}
	if got := mustAdmit(t, s, scan(s, 4)); got.Decision.Reason != access.ReasonReplayed {
		t.Errorf("got %+v, want replayed", got)
	}
	c.move(-time.Hour)
	s = reopen(t, s)
	if got := mustAdmit(t, s, scan(s, 5)); got.Duplicate || got.Decision.Reason != access.ReasonReplayed {
		t.Errorf("clock was set back: got %+v, want replayed", got)
	}
}

func TestOperatorTouchesNoCounter(t *testing.T) {
	s := buildHouse(t, Options{})
	a := access.Attempt{Source: access.ByOperator, Operator: "root", Target: id("front"), Action: wire.Unlock,
		ClockTrusted: true, At: time.Now()}
	mustAdmit(t, s, scan(s, 7))
	one, two := mustAdmit(t, s, a), mustAdmit(t, s, a)
	if one.Duplicate || two.Duplicate || one.Last != 0 || two.Seq != one.Seq+1 {
		t.Errorf("got %+v and %+v, want two events", one, two)
	}
	a.Device = id("front-reader") // an operator has no device
	if got := mustAdmit(t, s, a); got.Last != 0 {
		t.Errorf("got %+v, want no counter", got)
	}
	if ev := mustEvents(t, s, two.Seq)[0]; ev.Actor != "root" || ev.Counter != 0 {
		t.Errorf("got %+v, want the operator named", ev)
	}
}

func TestImpossibleAttemptsAreRefused(t *testing.T) {
	s := buildHouse(t, Options{})
	for name, change := range map[string]func(*access.Attempt){
		"counter above 2^53-1":    func(a *access.Attempt) { a.Counter = 1 << 53 },
		"whole UID as tail":       func(a *access.Attempt) { a.Tail = "04a1b2c3d4e580" },
		"device that is no id":    func(a *access.Attempt) { a.Device = "front\xff" },
		"operator with a counter": func(a *access.Attempt) { a.Source = access.ByOperator },
	} {
		a := scan(s, 1)
		change(&a)
		adm, err := s.Admit(context.Background(), a)
		if !errors.Is(err, ErrRefused) || adm != (Admission{}) {
			t.Errorf("%s: got %+v, %v, want ErrRefused", name, adm, err)
		}
	}
	if seq, _ := s.Head(); seq != 1 {
		t.Errorf("got head %d, want no event", seq)
	}
}

func TestZeroAdmissionDenies(t *testing.T) {
	if (Admission{}).Decision.Granted {
		t.Error("the zero admission grants")
	}
}

func TestZeroAttemptIsDeniedAndRecorded(t *testing.T) {
	s := buildHouse(t, Options{})
	if got := mustAdmit(t, s, access.Attempt{}); got.Decision.Granted || got.Seq != 2 {
		t.Errorf("got %+v, want denied as event 2", got)
	}
	a := scan(s, 3)
	a.Source = ""
	if got := mustAdmit(t, s, a); got.Decision.Granted || got.Last != 0 {
		t.Errorf("no source: got %+v, want denied and no counter", got)
	}
}
