package load

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"
)

// RunClosedLoop lets each worker do one operation after the other for the given time. It measures
// how many operations are possible, not how long one takes: during a stall of the server there are
// fewer operations, so the times do not show it.
func RunClosedLoop(ctx context.Context, workers int, d time.Duration,
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

// RunOpenLoop starts n operations at a fixed rate per second, whether or not earlier ones have
// ended. The workers take them in turn; an operation whose worker is busy waits for it. The time of
// an operation counts from the moment when it was due, so that a stall counts in every operation
// that it delayed. do gets that moment. It returns the moment at which the operation ended, or an
// error; the zero time means the return of do.
func RunOpenLoop(ctx context.Context, workers int, rate float64, n int,
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
		runtime.LockOSThread() // because it sleeps in the kernel
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

// waitUntil waits for a moment, and returns false if ctx ended before it.
func waitUntil(ctx context.Context, t time.Time) bool {
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

// Sleep waits for the given time. It fails if ctx ends before that.
func Sleep(ctx context.Context, d time.Duration) error {
	if !waitUntil(ctx, time.Now().Add(d)) {
		return ctx.Err()
	}
	return nil
}
