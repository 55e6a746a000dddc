//go:build long

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

	"latchkey/gateway/audit"
	"latchkey/gateway/store/folder"
)

// TestLongDamage damages every file of every shape in every way of listDamages, each on a copy of
// its own.
func TestLongDamage(t *testing.T) {
	r := rand.New(rand.NewPCG(16, 2))
	total, refused := 0, 0
	for _, sh := range makeShapes(t, 7, 715) {
		for _, d := range listDamages(t, sh.opts.Dir, r) {
			t.Run(sh.name+"/"+strings.ReplaceAll(d.name, "/", " "), func(t *testing.T) {
				total++
				if text := d.checkHolds(t, sh); text != "" {
					refused++
					t.Log(text)
				} else {
					t.Log("opened, with its contents")
				}
			})
		}
	}
	t.Logf("%d damages: %d refused, %d opened with their contents", total, refused, total-refused)
}

// TestLongEIO makes 60 runs in which every sync from the n-th on fails, and 40 in which only those
// of MANIFEST and of folders fail.
func TestLongEIO(t *testing.T) {
	var numbers []int
	for n := range 20 {
		numbers = append(numbers, n+1)
	}
	failSyncs(t, eios[0], numbers, 3)
	failSyncs(t, eios[1], numbers, 1)
	failSyncs(t, eios[2], numbers, 1)
}

// TestLongCreationCut kills a creation at each of the first system calls of each kind.
func TestLongCreationCut(t *testing.T) {
	cutCreation(t, []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 20})
}

// TestLongMillion measures how long it takes to try out, open and verify a store of a million
// events.
func TestLongMillion(t *testing.T) {
	o := Options{Dir: filepath.Join(t.TempDir(), "data"), Child: makeTrialChild}
	s := mustOpen(t, o)
	mustApply(t, s, house(s)...)
	var wg sync.WaitGroup
	for range 256 {
		wg.Go(func() {
			for i := range 1_000_000 / 256 {
				if _, err := s.Record(context.Background(), audit.Event{Kind: audit.EventReport,
					Detail: fmt.Sprint("door contact ", i)}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	seq, _ := s.Head()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	var size, tables int64
	walk(t, os.DirFS(o.files().DB), func(path string, info os.FileInfo, _ []byte) {
		if filepath.Ext(path) == folder.TableExt {
			size, tables = size+info.Size(), tables+1
		}
	})
	t.Logf("%d events in %d tables, %d MB", seq, tables, size>>20)
	for _, all := range []bool{false, true} {
		began := time.Now()
		if _, err := o.runTrial(t.Context(), trial{Dir: o.Dir, All: all}); err != nil {
			t.Fatal(err)
		}
		t.Logf("trial in a child, all of it %v: %v", all, time.Since(began))
	}
	began := time.Now()
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("open, trial included: %v", time.Since(began))
	for name, f := range map[string]func(context.Context) error{"verify": s.Verify,
		"verify quietly": s.VerifyQuietly} {
		began := time.Now()
		if err := f(t.Context()); err != nil {
			t.Error(err)
		}
		t.Logf("%s: %v", name, time.Since(began))
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
