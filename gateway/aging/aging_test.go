package aging

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/access/sinks"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/audit"
	"latchkey/gateway/store"
)

const day = 24 * time.Hour

// site is a store with events of 20 days, two a day, and a Keeper that runs on it.
type site struct {
	t       *testing.T
	store   *store.Store
	keeper  *Keeper
	now     time.Time
	alarm   atomic.Uint64
	trusted atomic.Bool
}

func runSite(t *testing.T, prepare func(s *site)) *site {
	t.Helper()
	s := &site{t: t, now: time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)}
	s.trusted.Store(true)
	var err error
	s.store, err = store.Open(t.Context(), store.Options{InMemory: true, Now: func() time.Time { return s.now }})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		ev := audit.Event{Kind: audit.EventReport, At: s.now.Add(-20*day + time.Duration(i)*day/2)}
		if _, err := s.store.Record(t.Context(), ev); err != nil {
			t.Fatal(err)
		}
	}
	prepare(s)
	s.keeper = New(Config{Store: s.store, OldestAlarm: s.alarm.Load, Now: func() time.Time { return s.now },
		ClockTrusted: func(time.Time) (bool, string) { return s.trusted.Load(), "no NTP" },
		Log:          slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.keeper.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ended, s.store.Check(context.Background()), s.store.Verify(context.Background()),
			s.store.Close()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *site) apply(changes ...access.Change) {
	s.t.Helper()
	if _, err := s.store.Apply(s.t.Context(), "test", changes...); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) set(days int) { s.t.Helper(); s.apply(Set(s.store.Snapshot(), days)...) }

func (s *site) view() api.Retention {
	s.t.Helper()
	v, err := s.keeper.View(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return v
}

// wait waits until that is the first event.
func (s *site) wait(first uint64) {
	s.t.Helper()
	for end := time.Now().Add(20 * time.Second); s.store.First() != first; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("the first event is %d, want %d; %+v", s.store.First(), first, s.view())
		}
	}
}

// waitHeld waits until old events are found up to that one, and says what holds them.
func (s *site) waitHeld(old uint64) api.Retention {
	s.t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if v := s.view(); v.Old == old {
			return v
		}
		if time.Now().After(end) {
			s.t.Fatalf("got %+v, want events up to %d found", s.view(), old)
		}
	}
}

var hook = sinks.Sink{ID: "0123456789", Name: "hook", Protocol: sinks.NATS, From: 1, Paused: "paused by ann"}

func init() { hook.Endpoint.URL = "nats://127.0.0.1" }

func TestOldEventsAreRemoved(t *testing.T) {
	s := runSite(t, func(*site) {})
	s.set(10)
	s.wait(21) // that of ten days ago is kept
	if v := s.view(); v.Days != 10 || v.First != 21 || v.Removed.Before != 21 || v.Old != 0 || len(v.Holds) > 0 {
		t.Errorf("got %+v", v)
	}
	s.set(2)
	s.wait(37)
	s.set(0)
	if v := s.view(); v.Days != 0 || v.Removed.Days != 2 {
		t.Errorf("got %+v, want that events are kept for ever, and what was removed", v)
	}
	want := []string{"events are kept for ever",
		"Events before number 37 were removed on 2026-11-30, because events are kept for 2 days."}
	if got := Describe(s.view(), time.UTC); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestNothingIsRemovedWhileTheClockIsNotTrusted(t *testing.T) {
	s := runSite(t, func(s *site) { s.trusted.Store(false) })
	s.set(10)
	time.Sleep(soon + 100*time.Millisecond)
	v := s.view()
	if v.First != 1 || len(v.Holds) != 1 || v.Holds[0].Kind != api.HeldByClock {
		t.Errorf("got %+v, want nothing removed", v)
	}
	s.trusted.Store(true)
	s.set(11) // as any change
	s.wait(19)
}

func TestASinkKeepsEventsUntilTheOwnerReleasesThem(t *testing.T) {
	s := runSite(t, func(s *site) { s.apply(access.Change{Put: hook}) })
	s.set(10)
	v := s.waitHeld(20)
	want := api.RetentionHold{Kind: api.HeldBySink, Name: "hook", Why: "paused by ann", First: 1, Events: 20}
	if v.First != 1 || len(v.Holds) != 1 || v.Holds[0] != want {
		t.Fatalf("got %+v, want %+v", v, want)
	}
	if found := Findings(v); len(found) != 1 || !strings.Contains(found[0].Text, "sink hook has not taken 20 of them") ||
		!strings.Contains(found[0].Do, "latchkey retention release hook --lose 20") {
		t.Errorf("got %+v", found)
	}
	p := s.store.Snapshot()
	if _, err := Release(p, v, api.Release{Sink: "hook", Lose: 19}); !errors.Is(err, access.ErrConflict) ||
		!strings.Contains(err.Error(), "20 events") {
		t.Errorf("got %v, want the number that would be lost", err)
	}
	if _, err := Release(p, v, api.Release{Sink: "other", Lose: 19}); !errors.Is(err, access.ErrNotFound) {
		t.Errorf("got %v, want no such sink", err)
	}
	changes, err := Release(p, v, api.Release{Sink: "hook", Lose: 20})
	if err != nil {
		t.Fatal(err)
	}
	s.apply(changes...)
	s.wait(20) // the event at which the sink stands stays
	if v := s.view(); len(v.Holds) > 0 {
		t.Errorf("got %+v, want no hold", v)
	}
}

func TestAnAlarmKeepsEvents(t *testing.T) {
	s := runSite(t, func(s *site) { s.alarm.Store(8) })
	s.set(10)
	s.wait(8)
	v := s.waitHeld(20)
	want := api.RetentionHold{Kind: api.HeldByAlarm, First: 8, Events: 13}
	if len(v.Holds) != 1 || v.Holds[0] != want || len(Findings(v)) != 1 {
		t.Errorf("got %+v, want %+v", v, want)
	}
	s.alarm.Store(0)
	s.set(11)
	s.wait(19)
}
