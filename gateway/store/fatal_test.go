package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"latchkey/gateway/audit"
)

// childDir is the environment variable that makes the test program a store of its own in that
// folder, and nothing else.
const (
	childDir   = "LATCHKEY_TEST_STORE"
	childFault = "LATCHKEY_TEST_FAULT" // what of it fails: "table N", the Nth from now on; "manifest N", its Nth sync
)

// smallTable makes Badger write a table after some 70 events of a child, and compact soon.
const smallTable = 256 << 10

// child records events until the disk fails, and writes the number of each that is durable.
func child(dir string) {
	fatal := func(err error) {
		fmt.Fprintln(os.Stderr, "fatal:", err)
		os.Exit(1)
	}
	o := Options{Dir: dir, memTable: smallTable, Fatal: fatal}
	kind, n, _ := strings.Cut(os.Getenv(childFault), " ")
	nth, _ := strconv.Atoi(n)
	if kind == "manifest" {
		var left atomic.Int32
		left.Store(int32(nth))
		o.syncFault = func() error {
			if left.Add(-1) <= 0 {
				return syscall.EIO
			}
			return nil
		}
	}
	s, err := Open(context.Background(), o)
	if err == nil && kind == "table" {
		err = takeTable(o.files().DB, nth)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "open:", err)
		os.Exit(2)
	}
	detail := strings.Repeat("all of this is to be there again. ", 40)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				ev, err := s.Record(context.Background(), audit.Event{Kind: audit.EventReport, Detail: detail})
				switch {
				case errors.Is(err, ErrNoSpace):
					time.Sleep(10 * time.Millisecond) // until somebody makes room
				case err != nil:
					return
				default:
					fmt.Println(ev.Seq)
				}
			}
		})
	}
	wg.Wait()
	select {} // Fatal is to end it, not the store's users
}

// fault runs a child under strace with one fault and returns the last event that it said was
// durable, and what it said in the end.
func fault(t *testing.T, dir, inject string) (durable uint64, said string) {
	t.Helper()
	const calls = "msync,fsync,fdatasync"
	return runChild(t, dir, exec.Command("strace", "-f", "-qq", "-o", os.DevNull, "-e", "trace="+calls, "-e", "inject="+calls+":"+inject, os.Args[0]), "")
}

func runChild(t *testing.T, dir string, cmd *exec.Cmd, how string) (durable uint64, said string) {
	t.Helper()
	cmd.Env = append(os.Environ(), childDir+"="+dir, childFault+"="+how)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(time.Minute, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	defer late.Stop()
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if n, err := strconv.ParseUint(lines.Text(), 10, 64); err == nil {
			durable = max(durable, n)
		}
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("got %v, want that the process ends by itself with status 1: %s", err, stderr.String())
	}
	return durable, stderr.String()
}

// survives opens a store after a fault and checks that what was durable is there.
func survives(t *testing.T, dir, inject string, durable uint64) {
	t.Helper()
	s, err := Open(context.Background(), Options{Dir: dir, memTable: smallTable})
	if err != nil {
		t.Errorf("%s: does not open any more, after event %d: %v", inject, durable, err)
		return
	}
	if seq, _ := s.Head(); seq < durable {
		t.Errorf("%s: the newest event is %d, and %d was durable", inject, seq, durable)
	}
	if err := s.Verify(context.Background()); err != nil {
		t.Errorf("%s: %v", inject, err)
	}
	closeChecked(t, s)
}

// seeded is a folder with a store of some tables in it.
func seeded(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	s := built(t, Options{Dir: dir, memTable: smallTable})
	closeChecked(t, s)
	return dir
}

func TestFailedSyncEndsTheProcess(t *testing.T) {
	// The threads of a process count each for itself, so a late fault needs many syncs. One that
	// comes once is the worse: Badger goes on.
	for _, when := range []string{"5+", "40+", "150+", "60", "150+97"} {
		t.Run(when, func(t *testing.T) {
			t.Parallel()
			dir := seeded(t)
			durable, said := fault(t, dir, "error=EIO:when="+when)
			if lines := strings.Count(said, "\n"); lines != 1 || !strings.Contains(said, "input/output error") {
				t.Errorf("got %q, want one line with the error", said)
			}
			if tables, _ := filepath.Glob(filepath.Join(dir, "db", "*.sst")); len(tables) > 40 {
				t.Errorf("got %d tables for %d events, want few", len(tables), durable)
			}
			survives(t, dir, when, durable)
		})
	}
}

// Badger goes on with a compaction that could not write one of its tables, and then deletes the old
// ones.
func TestCompactionThatLosesATable(t *testing.T) {
	caught := false
	for n := 5; n < 20 && !caught; n++ {
		dir, how := seeded(t), fmt.Sprint("table ", n)
		durable, said := runChild(t, dir, exec.Command(os.Args[0]), how)
		caught = strings.Contains(said, "a compaction built")
		survives(t, dir, how, durable)
	}
	if !caught {
		t.Error("no compaction was hit, so nothing is shown")
	}
}

func TestFailedSyncOfManifestTakesTheChangeBack(t *testing.T) {
	for _, after := range []string{"1", "2", "6", "11"} {
		dir := seeded(t)
		durable, said := runChild(t, dir, exec.Command(os.Args[0]), "manifest "+after)
		if !strings.Contains(said, "MANIFEST: input/output error") {
			t.Errorf("got %q", said)
		}
		survives(t, dir, "MANIFEST", durable)
	}
}

// takeTable takes the name of the Nth table from now on.
func takeTable(db string, n int) error {
	tables, err := filepath.Glob(filepath.Join(db, "*.sst"))
	newest := 0
	for _, name := range tables {
		if id, err := strconv.Atoi(strings.TrimSuffix(filepath.Base(name), ".sst")); err == nil {
			newest = max(newest, id)
		}
	}
	return errors.Join(err, os.WriteFile(filepath.Join(db, fmt.Sprintf("%06d.sst", newest+n)), nil, 0o600))
}
