//go:build long

package store

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"latchkey/gateway/audit"
	"latchkey/gateway/store/folder"
)

func TestLongKilledCutter(t *testing.T) { killCutterOften(t, newDownfall(t, ""), 40) }

// TestLongCutOfAMillion removes nearly all of 1,000,000 events, and prints how long taps take
// without and with that, and what the folder takes before and after.
func TestLongCutOfAMillion(t *testing.T) {
	ctx := context.Background()
	o := Options{Dir: t.TempDir(), MinFree: 1}
	s := buildHouse(t, o)
	dropSinks(t, s)
	began := time.Now()
	var wg sync.WaitGroup
	for range 250 {
		wg.Go(func() {
			for range 4000 {
				if _, err := s.Record(ctx, audit.Event{Kind: audit.EventReport, Detail: "battery 87 %"}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	last, _ := s.Head()
	t.Logf("%d events written in %v", last, time.Since(began).Round(time.Second))
	n := uint64(0)
	tap := func() time.Duration {
		n++
		began := time.Now()
		mustAdmit(t, s, scan(s, n))
		return time.Since(began)
	}
	measure := func(what string, more func() bool) {
		var all []time.Duration
		for more() {
			all = append(all, tap())
			time.Sleep(5 * time.Millisecond) // 200 taps/s at most, as a street has at its busiest
		}
		slices.Sort(all)
		t.Logf("%s: %d taps, p50 %v, p99 %v, longest %v", what, len(all), all[len(all)/2], all[len(all)*99/100],
			all[len(all)-1])
	}
	until := time.Now().Add(20 * time.Second)
	measure("alone", func() bool { return time.Now().Before(until) })
	before, err := folder.MeasureUse(o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	during := func(what string, f func() error) {
		t.Helper()
		done := make(chan error, 1)
		began := time.Now()
		go func() { done <- f() }()
		var err error
		measure(what, func() bool {
			select {
			case err = <-done:
				return false
			default:
				return true
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		after, err := folder.MeasureUse(o.Dir)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("  that took %v; the folder took %d MiB and takes %d MiB", time.Since(began).Round(100*time.Millisecond),
			before>>20, after>>20)
		before = after
	}
	during("while the age of events is found", func() error {
		return s.FindOld(ctx, &Age{}, time.Now(), time.Now())
	})
	during("while events are removed", func() (err error) {
		for seq := uint64(0); err == nil; {
			was := seq
			if seq, err = s.RemoveOldest(ctx, last-1000, 400); seq == was {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		return err
	})
	s = reopen(t, s) // the deletes are in a table then
	during("while space is given back", func() error {
		gained, again, err := s.Reclaim(ctx)
		t.Logf("  %d MiB given back; again: %v", gained>>20, again)
		return err
	})
	if err := s.Verify(ctx); err != nil {
		t.Error(err)
	}
}
