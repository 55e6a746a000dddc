package limit

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestWorkersRunEverythingAndEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w Workers
		var ran atomic.Int32
		for times := range int32(3) { // the second and third time in goroutines that were idle
			for range 4 * keepIdle {
				if !w.Go(func() { time.Sleep(time.Second); ran.Add(1) }) {
					t.Fatal("not begun")
				}
			}
			w.Wait()
			if got, want := ran.Load(), (times+1)*4*keepIdle; got != want {
				t.Errorf("got %d after waiting, want %d", got, want)
			}
			synctest.Wait()
			if n := len(w.idle); n != keepIdle {
				t.Errorf("got %d idle goroutines, want %d", n, keepIdle)
			}
		}
		w.Go(func() { time.Sleep(time.Second); ran.Add(1) })
		w.End()
		w.End()
		if w.Go(func() { ran.Add(1000) }) {
			t.Error("begun after the end")
		}
		w.Wait() // the bubble fails if a goroutine is left
		if got, want := ran.Load(), int32(3*4*keepIdle+1); got != want {
			t.Errorf("got %d, want %d", got, want)
		}
	})
}

func TestWorkersAreUsedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w Workers
		defer w.Wait()
		defer w.End()
		began := func() (other bool) {
			work := w.idle[0]
			w.Go(func() {})
			synctest.Wait()
			return w.idle[0] != work
		}
		w.Go(func() {})
		synctest.Wait()
		if began() || len(w.idle) != 1 {
			t.Errorf("another goroutine began beside an idle one: %d idle", len(w.idle))
		}
	})
}

func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check := func(d *Deadline, after time.Duration) {
			t.Helper()
			began := time.Now()
			if at, ok := d.Deadline(); !ok || !at.Equal(began.Add(after)) {
				t.Errorf("got %v, %v, want %v", at, ok, began.Add(after))
			}
			if err := d.Err(); err != nil {
				t.Errorf("got %v before the end, want nil", err)
			}
			<-d.Done()
			if got := time.Since(began); got != after {
				t.Errorf("ended after %v, want %v", got, after)
			}
			if err := d.Err(); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
			}
		}
		var deadlines Deadlines
		for range 3 { // released before their end, and used again
			d := deadlines.Begin(time.Now().Add(time.Hour))
			time.Sleep(time.Minute)
			d.Release()
		}
		d := deadlines.Begin(time.Now().Add(time.Second))
		check(d, time.Second)
		d.Release() // after its end it is not used again
		other := deadlines.Begin(time.Now().Add(time.Second))
		check(other, time.Second)
		other.Release()

		d = deadlines.Begin(time.Now().Add(time.Second))
		child, cancel := context.WithTimeout(d, time.Hour)
		defer cancel()
		<-child.Done()
		if err := child.Err(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a context derived from it: got %v, want %v", err, context.DeadlineExceeded)
		}
		for _, ago := range []time.Duration{0, time.Second} { // at once: what is late is never begun
			past := deadlines.Begin(time.Now().Add(-ago))
			select {
			case <-past.Done():
			default:
				t.Errorf("a deadline %v ago has not ended", ago)
			}
			if past.Err() == nil {
				t.Errorf("a deadline %v ago has no error", ago)
			}
			past.Release()
		}
	})
}

// TestTurnsAreTakenOneAfterTheOther takes turns for more keys than are kept, so that places change
// their keys.
func TestTurnsAreTakenOneAfterTheOther(t *testing.T) {
	const keys, each = 3 * keepPlaces, 20
	var turns Turns[int]
	var busy [keys]atomic.Bool
	var all sync.WaitGroup
	for k := range keys {
		for range 4 {
			all.Go(func() {
				for i := range each {
					first, second := k+1, (k+i)%keys+1
					if first == second {
						second = 0
					}
					turn, err := turns.Take(t.Context(), min(first, second), max(first, second))
					if err != nil {
						t.Error(err)
						return
					}
					for _, key := range []int{first, second} {
						if key > 0 && busy[key-1].Swap(true) {
							t.Errorf("two have key %d", key)
						}
					}
					for _, key := range []int{first, second} {
						if key > 0 {
							busy[key-1].Store(false)
						}
					}
					turn.End()
					turn.End()
				}
			})
		}
	}
	all.Wait()
	if len(turns.places) != 0 || len(turns.free) > keepPlaces {
		t.Errorf("%d places are in use at the end, and %d kept", len(turns.places), len(turns.free))
	}
}
