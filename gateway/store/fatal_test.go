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

// childDir is the environment variable that makes the test binary a process that only writes to a
// store in that folder.
const (
	childDir = "LATCHKEY_TEST_STORE"
	// childFault says what fails: "table N", the Nth table from now on; "manifest N", the Nth sync
	// of MANIFEST.
	childFault = "LATCHKEY_TEST_FAULT"
)

// smallTable is a size of memtables with which Badger writes a table after about 70 events of a
// child, and soon compacts.
const smallTable = 256 << 10

// runChildStore records events until the disk fails, and prints the number of each event that is
// durable.
func runChildStore(dir string) {
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
		err = blockTable(o.files().DB, nth)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "open:", err)
		os.Exit(2)
	}
	detail := strings.Repeat("all of this must be there again. ", 40)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				ev, err := s.Record(context.Background(), audit.Event{Kind: audit.EventReport,
					Detail: detail})
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
	select {} // Fatal must end the process, not the users of the store
}

// runWithFault runs a child under strace, which injects one fault. It returns the last event that
// the child printed as durable, and what it wrote to standard error.
func runWithFault(t *testing.T, dir, inject string) (durable uint64, said string) {
	t.Helper()
	const calls = "msync,fsync,fdatasync"
	return runChild(t, dir, exec.Command("strace", "-f", "-qq", "-o", os.DevNull, "-e", "trace="+calls, "-e",
		"inject="+calls+":"+inject, os.Args[0]), "")
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
		t.Errorf("got %v, want the process to end by itself with status 1: %s", err, stderr.String())
	}
	return durable, stderr.String()
}

// checkSurvived opens a store after a fault and checks that it has everything that was durable.
func checkSurvived(t *testing.T, dir, inject string, durable uint64) {
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
	checkAndClose(t, s)
}

// seedStore makes a store with some tables, closes it, and returns its folder.
func seedStore(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	s := buildHouse(t, Options{Dir: dir, memTable: smallTable})
	checkAndClose(t, s)
	return dir
}

func TestFailedSyncEndsTheProcess(t *testing.T) {
	// strace counts the calls of each thread separately, so a late fault needs many syncs. A fault
	// that happens only once is worse, because Badger continues.
	for _, when := range []string{"5+", "40+", "150+", "60", "150+97"} {
		t.Run(when, func(t *testing.T) {
			t.Parallel()
			dir := seedStore(t)
			durable, said := runWithFault(t, dir, "error=EIO:when="+when)
			if lines := strings.Count(said, "\n"); lines != 1 ||
				!strings.Contains(said, "input/output error") {
				t.Errorf("got %q, want one line with the error", said)
			}
			if tables, _ := filepath.Glob(filepath.Join(dir, "db", "*.sst")); len(tables) > 40 {
				t.Errorf("got %d tables for %d events, want few", len(tables), durable)
			}
			checkSurvived(t, dir, when, durable)
		})
	}
}

// If a compaction cannot write one of its tables, Badger continues, and then deletes the old
// tables.
func TestCompactionThatLosesATable(t *testing.T) {
	caught := false
	for n := 5; n < 20 && !caught; n++ {
		dir, how := seedStore(t), fmt.Sprint("table ", n)
		durable, said := runChild(t, dir, exec.Command(os.Args[0]), how)
		caught = strings.Contains(said, "a compaction built")
		checkSurvived(t, dir, how, durable)
	}
	if !caught {
		t.Error("no compaction failed, so this test has shown nothing")
	}
}

func TestFailedSyncOfManifestTakesTheChangeBack(t *testing.T) {
	for _, after := range []string{"1", "2", "6", "11"} {
		dir := seedStore(t)
		durable, said := runChild(t, dir, exec.Command(os.Args[0]), "manifest "+after)
		if !strings.Contains(said, "MANIFEST: input/output error") {
			t.Errorf("got %q, want the failed sync of MANIFEST in it", said)
		}
		checkSurvived(t, dir, "MANIFEST", durable)
	}
}

// blockTable makes an empty file with the name of the Nth table from now on, so that Badger cannot
// make that table.
func blockTable(db string, n int) error {
	tables, err := filepath.Glob(filepath.Join(db, "*.sst"))
	newest := 0
	for _, name := range tables {
		if id, err := strconv.Atoi(strings.TrimSuffix(filepath.Base(name), ".sst")); err == nil {
			newest = max(newest, id)
		}
	}
	return errors.Join(err, os.WriteFile(filepath.Join(db, fmt.Sprintf("%06d.sst", newest+n)), nil, 0o600))
}
