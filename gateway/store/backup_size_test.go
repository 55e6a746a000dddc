package store

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/store/backup"
	"latchkey/keys"
)

// A backup takes no more memory when the store is larger, and the limit is 64 MB.
func TestBackupTakesLittleMemory(t *testing.T) {
	measureBackup(t, 256, 2000, 30_000, 200*time.Millisecond)
}

const maxBackupMemory = 64 << 20

// measureBackup makes and verifies a backup of a store with so many devices, grants and events,
// while 200 scans a second are decided, and compares the heap and the scans with those of a quiet
// time before.
func measureBackup(t *testing.T, devices, grants, events int, quiet time.Duration) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	fillStore(t, s, devices, grants, events)
	id, to := passing(t)

	before, alone := watch(t, s, 1, func() { time.Sleep(quiet) })
	path := filepath.Join(t.TempDir(), "site.lkb")
	var took time.Duration
	peak, during := watch(t, s, 1<<20, func() {
		began := time.Now()
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.WriteBackup(t.Context(), f, backup.Options{To: to, Kind: backup.Full}); err != nil {
			t.Error(err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		took = time.Since(began)
	})
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	seq, _ := s.Head()
	used, _, _, _ := s.Space()
	t.Logf("%d events, folder %d MB: backup of %d kB in %v; heap %d MB, %d MB more; "+
		"scans: %v alone, %v during it", seq, used>>20, info.Size()>>10, took, peak>>20, (int64(peak)-int64(before))>>20, alone, during)
	if peak > before+maxBackupMemory {
		t.Errorf("the heap grew from %d to %d MB, want at most 64 more", before>>20, peak>>20)
	}

	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	began := time.Now()
	peak, _ = watch(t, nil, 0, func() {
		r, err := backup.Open(f, id)
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.Verify(t.Context(), backup.Expected{})
		if err != nil || got.Events != r.Header.Head || got.Records < uint64(devices+grants) {
			t.Errorf("got %+v of %+v, %v", got, r.Header, err)
		}
	})
	t.Logf("verified in %v; heap %d MB", time.Since(began), peak>>20)
	if peak > before+maxBackupMemory {
		t.Errorf("the heap grew from %d to %d MB, want at most 64 more", before>>20, peak>>20)
	}
}

// watch returns the greatest heap while f runs, as the garbage collector leaves it, and how long
// scans took that were made 200 times a second meanwhile.
func watch(t *testing.T, s *Store, counter uint64, f func()) (heap uint64, scans string) {
	t.Helper()
	defer debug.SetGCPercent(debug.SetGCPercent(20)) // so that garbage counts little
	for range 3 {                                    // pools of unused memory outlive one collection
		debug.FreeOSMemory()
	}
	var stop atomic.Bool
	var wait sync.WaitGroup
	wait.Go(func() {
		for !stop.Load() {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			heap = max(heap, m.HeapInuse)
			time.Sleep(20 * time.Millisecond)
		}
	})
	var times []time.Duration
	if s != nil {
		wait.Go(func() {
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			for n := counter; !stop.Load(); n++ {
				<-tick.C
				began := time.Now()
				if _, err := s.Admit(context.Background(), scan(s, n)); err != nil {
					t.Error(err)
					return
				}
				times = append(times, time.Since(began))
			}
		})
	}
	f()
	stop.Store(true)
	wait.Wait()
	if len(times) == 0 {
		return heap, "none"
	}
	slices.Sort(times)
	return heap, fmt.Sprintf("p50 %v p99 %v of %d", times[len(times)/2].Round(10*time.Microsecond),
		times[len(times)*99/100].Round(10*time.Microsecond), len(times))
}

// fillStore makes a large site.
func fillStore(t *testing.T, s *Store, devices, grants, events int) {
	t.Helper()
	mustApply(t, s, house(s)...)
	put := func(n int, of func(i int) access.Record) {
		for i := 0; i < n; {
			var changes []access.Change
			for ; i < n && len(changes) < 200; i++ {
				changes = append(changes, access.Change{Put: of(i)})
			}
			mustApply(t, s, changes...)
		}
	}
	put(devices, func(i int) access.Record {
		return access.Device{ID: id(fmt.Sprint("many", i)), Name: fmt.Sprint("many-", i), Kind: keys.KindReader,
			Targets: []access.ID{id("front")}}
	})
	put(grants, func(i int) access.Record {
		return access.Grant{ID: id(fmt.Sprint("grant", i)), SubjectKind: access.SubjectPerson,
			Subject: id("bob"), Target: id("front"), Actions: []wire.Action{wire.Unlock},
			Effect: access.Deny}
	})
	var wait sync.WaitGroup
	for worker := range 256 {
		wait.Go(func() {
			for i := range events / 256 {
				a := scan(s, uint64(i+1))
				a.Device = id(fmt.Sprint("many", worker%devices))
				if _, err := s.Admit(context.Background(), a); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
}
