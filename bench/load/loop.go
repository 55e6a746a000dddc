package load

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"
)

// Closed has each of the workers do one operation after the other for so long. The times are those
// of the operations; the rate depends on them, so a stall of the server makes fewer operations and
// hides itself: what is asked of a closed loop is how much can be done, not how long it takes.
func Closed(ctx context.Context, workers int, d time.Duration,
	do func(ctx context.Context, worker int) error) (*Latencies, time.Duration) {
	l := NewLatencies()
	began := time.Now()
	end := began.Add(d)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for t := time.Now(); t.Before(end) && ctx.Err() == nil; {
				err := do(ctx, w)
				now := time.Now()
				l.Add(now.Sub(t), err)
				t = now
			}
		})
	}
	wg.Wait()
	return l, time.Since(began)
}

// Open does n operations by the clock, rate of them a second, whatever becomes of those before.
// They are shared out among the workers in turn; one that finds its worker busy waits for it. Times
// count from when an operation was due, so that a stall counts with every operation that it held
// up. do is told that moment, and returns the moment that ends the operation, or an error; with the
// zero time it ends when do returns.
func Open(ctx context.Context, workers int, rate float64, n int,
	do func(ctx context.Context, worker int, due time.Time) (time.Time, error)) *Latencies {
	l := NewLatencies()
	began := time.Now().Add(10 * time.Millisecond)
	due := make([]chan time.Time, workers)
	var wg sync.WaitGroup
	for w := range workers {
		due[w] = make(chan time.Time, n/workers+1)
		wg.Go(func() {
			for due := range due[w] {
				if ctx.Err() != nil {
					l.Add(Longest, fmt.Errorf("not begun: %w", ctx.Err()))
					continue
				}
				end, err := do(ctx, w, due)
				if end.IsZero() {
					end = time.Now()
				}
				l.Add(end.Sub(due), err)
			}
		})
	}
	wg.Go(func() {
		runtime.LockOSThread() // it sleeps in the kernel
		defer runtime.UnlockOSThread()
		for i := range n {
			at := began.Add(time.Duration(float64(i) / rate * float64(time.Second)))
			sleepUntil(at)
			due[i%workers] <- at
		}
		for _, c := range due {
			close(c)
		}
	})
	wg.Wait()
	return l
}

// until waits for a moment and tells whether it came before ctx ended.
func until(ctx context.Context, t time.Time) bool {
	wait := time.Until(t)
	if wait <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Rest waits for so long, or fails when ctx ends before.
func Rest(ctx context.Context, d time.Duration) error {
	if !until(ctx, time.Now().Add(d)) {
		return ctx.Err()
	}
	return nil
}
