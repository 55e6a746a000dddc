package limit

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

func TestRecentKeepsTheNewest(t *testing.T) {
	r := Recent[string, int]{Keep: 3}
	began := time.Now()
	for i := range 5 {
		r.Set(strconv.Itoa(i), i, began.Add(time.Duration(i)))
	}
	r.Set("2", 20, began.Add(5))
	r.Set("5", 5, began.Add(6))
	if got, want := slices.Sorted(r.Values()), []int{4, 5, 20}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v, since the others were set longer ago", got, want)
	}
	r.Delete("2")
	if _, ok := r.Get("2"); ok || r.Len() != 2 {
		t.Errorf("got %d values, and the deleted one found: %v", r.Len(), ok)
	}
}

func TestEvery(t *testing.T) {
	const pause, burst = 10 * time.Second, 30
	e := Every[string]{Pause: pause, Burst: burst}
	now := time.Now()
	for i := range burst {
		if missed, ok := e.Allow("front", now); !ok || missed != 0 {
			t.Fatalf("event %d: got %d missed, %v", i, missed, ok)
		}
	}
	for range 5 {
		if _, ok := e.Allow("front", now); ok {
			t.Error("an event over the limit was allowed")
		}
	}
	if _, ok := e.Allow("back", now); !ok {
		t.Error("another key is limited too")
	}
	if _, ok := e.Allow("front", now.Add(pause-1)); ok {
		t.Error("the next event was allowed too early")
	}
	if missed, ok := e.Allow("front", now.Add(pause)); !ok || missed != 6 {
		t.Errorf("later: got %d missed, %v, want 6", missed, ok)
	}
	for i := range burst + 1 { // long after, the whole burst is allowed again, but not more
		if _, ok := e.Allow("front", now.Add(time.Hour)); ok != (i < burst) {
			t.Errorf("event %d an hour later: got %v", i, ok)
		}
	}
	e.Forget("front")
	if _, ok := e.Allow("front", now); !ok {
		t.Error("a forgotten key is still limited")
	}
}

func TestEveryWithoutABurst(t *testing.T) {
	e := Every[int]{Pause: time.Minute}
	now := time.Now()
	for _, step := range []struct {
		at   time.Duration
		want bool
	}{
		{0, true}, {time.Second, false}, {time.Minute - 1, false}, {time.Minute, true},
		{2*time.Minute - 1, false}, {5 * time.Minute, true}, {6*time.Minute - 1, false},
	} {
		if _, ok := e.Allow(0, now.Add(step.at)); ok != step.want {
			t.Errorf("after %v: got %v, want %v", step.at, ok, step.want)
		}
	}
}

// Invented keys can fill only a bounded amount of memory.
func TestKeysAreBounded(t *testing.T) {
	e, s := Every[int]{Pause: time.Hour}, Slowdown[int]{Count: 2, Window: time.Minute, Pause: time.Second}
	now := time.Now()
	for i := range 2 * maxKeys {
		now = now.Add(1)
		e.Allow(i, now)
		s.Note(i, now)
	}
	if e.keys.Len() != maxKeys || s.keys.Len() != maxKeys {
		t.Errorf("got %d and %d keys, want %d", e.keys.Len(), s.keys.Len(), maxKeys)
	}
	if _, ok := e.Allow(2*maxKeys-1, now); ok {
		t.Error("the newest key was forgotten")
	}
}

func TestSlowdown(t *testing.T) {
	const window, pause = time.Minute, 10 * time.Second
	s := Slowdown[string]{Count: 3, Window: window, Pause: pause}
	now := time.Now()
	if s.Note("front", now) || s.Note("front", now.Add(window+1)) || s.Note("front", now.Add(window+2)) {
		t.Error("slowed down by fewer than three in a minute")
	}
	if wait := s.Wait("front", now.Add(window+2)); wait != 0 {
		t.Errorf("got a wait of %v before it is slowed down", wait)
	}
	now = now.Add(window + 3)
	if !s.Note("front", now) {
		t.Error("three in a minute do not slow it down")
	}
	for _, step := range []struct{ at, want time.Duration }{
		{0, pause}, {pause - 1, 1}, {pause, 0}, {pause, pause}, {2*pause - 1, 1}, {2 * pause, 0},
		{window, 0}, {window, 0},
	} {
		if got := s.Wait("front", now.Add(step.at)); got != step.want {
			t.Errorf("after %v: got a wait of %v, want %v", step.at, got, step.want)
		}
	}
	if s.Note("back", now); s.Wait("back", now) != 0 {
		t.Error("another key is slowed down too")
	}
	if s.Note("front", now.Add(window-1)) {
		t.Error("the beginning of a slowdown was reported twice")
	}
	if s.Wait("front", now.Add(window+pause)) != 0 || s.Wait("front", now.Add(window+pause)) != pause {
		t.Error("the last event does not make the slowdown longer")
	}
}

func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var turns Turns[string]
		turn, err := turns.Take(t.Context(), "reader", "door")
		if err != nil {
			t.Fatal(err)
		}
		waited := make(chan error, 1)
		go func() {
			next, err := turns.Take(t.Context(), "", "door")
			next.End()
			waited <- err
		}()
		synctest.Wait()
		select {
		case err := <-waited:
			t.Fatalf("got %v while another caller has the turn", err)
		default:
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := turns.Take(gone, "switch", "door"); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want it to wait until its context ends", err)
		}
		turn.End()
		turn.End()
		if err := <-waited; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if len(turns.places) != 0 {
			t.Errorf("got %v, want no memory of turns that have ended", turns.places)
		}
	})
}
