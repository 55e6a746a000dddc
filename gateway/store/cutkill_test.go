package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/audit"
)

// cutMain writes events to the store in a folder and removes the oldest, both as fast as it can, and
// prints what is durable: "event SEQ", "cut SEQ".
func cutMain(dir string) int {
	ctx := context.Background()
	s, err := Open(ctx, Options{Dir: dir, MinFree: 1, memTable: smallTable, checkpoint: 64, Fatal: func(err error) {
		fmt.Println("failed:", err)
		os.Exit(4)
	}})
	if err != nil {
		fmt.Println("refused:", err)
		return 1
	}
	if len(s.Snapshot().Persons) == 0 {
		_, err := s.Apply(ctx, "test", putAll(access.Person{ID: id("ann"), Name: "ann"})...)
		for range 300 {
			if err == nil {
				_, err = s.Record(ctx, audit.Event{Kind: audit.EventReport, Detail: "old"})
			}
		}
		if err != nil {
			fmt.Println("failed:", err)
			return 4
		}
	}
	var wg sync.WaitGroup
	again := func(f func() (string, error)) {
		wg.Go(func() {
			for {
				said, err := f()
				if err != nil {
					fmt.Println("failed:", err)
					os.Exit(4)
				}
				fmt.Println(said)
			}
		})
	}
	for k := range 3 {
		again(func() (string, error) {
			ev, err := s.Record(ctx, audit.Event{Kind: audit.EventReport, Detail: strings.Repeat("x", 50*k)})
			return fmt.Sprint("event ", ev.Seq), err
		})
	}
	again(func() (string, error) {
		seq, err := s.Apply(ctx, "test", putAll(access.Person{ID: id("ann"), Name: fmt.Sprint("ann", rand.IntN(99))})...)
		return fmt.Sprint("event ", seq), err
	})
	again(func() (string, error) {
		last, _ := s.Head()
		seq, err := s.RemoveOldest(ctx, min(s.First()+uint64(rand.IntN(60)), last-min(last, 40)), 1)
		return fmt.Sprint("cut ", seq), err
	})
	wg.Wait()
	return 3
}

// killCutterOften runs a process that removes events and ends it at a random moment, so many times.
// Each time the store must open without help and verify, and all that was durable must be there, or
// gone.
func killCutterOften(t *testing.T, e *downfall, times int) {
	dir, cut, events := "", uint64(0), uint64(0)
	for i := range times {
		was := cut
		if i%5 == 0 { // five times in a row on one store
			dir, was, cut = filepath.Join(e.mnt, fmt.Sprint("data", i/5)), 0, 0
		}
		event := uint64(0)
		limit, late := 1+rand.IntN(12), time.Duration(rand.IntN(4000))*time.Microsecond
		e.endChild(t, "cut "+dir, limit, late, func(what string, n uint64) (counted, known bool) {
			switch what {
			case "event":
				event = max(event, n)
				return false, true
			case "cut":
				cut = max(cut, n)
				return cut > was, true
			}
			return false, false
		})
		s, err := Open(t.Context(), Options{Dir: dir, MinFree: 1, memTable: smallTable})
		if err != nil {
			t.Fatalf("kill %d, after event %d and the removal up to %d: %v", i, event, cut, err)
		}
		if seq, _ := s.Head(); seq < event || s.First() <= cut {
			t.Errorf("kill %d: got events %d to %d, want %d to %d", i, s.First(), seq, cut+1, event)
		}
		if err := s.Verify(t.Context()); err != nil {
			t.Errorf("kill %d: %v", i, err)
		}
		cut, events = max(cut, s.First()-1), max(events, event)
		checkAndClose(t, s)
	}
	t.Logf("%d kills; at most %d events, %d of the last store removed", times, events, cut)
}

// TestKilledCutter is a short form of TestLongKilledCutter.
func TestKilledCutter(t *testing.T) { killCutterOften(t, newDownfall(t, ""), 5) }
