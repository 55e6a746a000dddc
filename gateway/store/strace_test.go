package store

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// traceChild returns a command that runs this test binary as a child under strace, which injects a
// fault. strace counts the calls of each name and thread separately. more are further options of
// strace.
func traceChild(ctx context.Context, t testing.TB, inject, what string, more ...string) *exec.Cmd {
	t.Helper()
	return underStrace(ctx, t, what,
		append([]string{"--seccomp-bpf", "-o", "/dev/null", "-e", "inject=" + inject}, more...)...)
}

// underStrace returns a command that runs this test binary as a child under strace.
func underStrace(ctx context.Context, t testing.TB, what string, options ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath("strace")
	if err != nil {
		t.Fatal("strace is missing: make deps installs it")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := makeChild(ctx, what)
	cmd.Env = append(cmd.Env, stracedEnv+"=1")
	cmd.Path, cmd.Args = path, append(append([]string{path, "-f", "-qq"}, options...), exe)
	return cmd
}

// TestCreationCut kills a process that makes a store, in one of its system calls. Afterwards the
// store must open, as a new one or as the one that was made.
func TestCreationCut(t *testing.T) { cutCreation(t, []int{1, 3}) }

func cutCreation(t *testing.T, numbers []int) {
	for _, call := range []string{"mkdirat", "openat", "write", "ftruncate", "mmap", "msync", "fsync",
		"renameat", "unlinkat"} {
		for _, n := range numbers {
			if call == "openat" || call == "mmap" { // the first calls belong to the start of the program
				n += 20
			}
			t.Run(fmt.Sprint(call, n), func(t *testing.T) {
				o := Options{Dir: filepath.Join(t.TempDir(), "data"), Now: newClock().Now, MinFree: 1}
				cmd := traceChild(t.Context(), t, fmt.Sprintf("%s:signal=SIGKILL:when=%d", call, n),
					"write "+o.Dir+" 0")
				w := followWriter(t, cmd)
				s, err := Open(context.Background(), o)
				if err != nil {
					t.Fatalf("killed after %+v, and it does not open: %v", w, err)
				}
				if seq, _ := s.Head(); seq < w.seq {
					t.Errorf("got event %d, want %d, which was durable", seq, w.seq)
				}
				checkAndClose(t, s)
			})
		}
	}
}

// TestSyncsOfACommit counts the syncs of the database's files before each event is told to be
// durable. A large value must be in the value log before something on disk points to it.
func TestSyncsOfACommit(t *testing.T) {
	calls := filepath.Join(t.TempDir(), "calls")
	dir := filepath.Join(t.TempDir(), "data")
	cmd := underStrace(t.Context(), t, fmt.Sprint("write ", dir, " 40"),
		"-s", "8", "-o", calls, "-e", "trace=msync,write")
	if w := followWriter(t, cmd); w.seq == 0 {
		t.Fatalf("got %+v, want durable events", w)
	}
	text, err := os.ReadFile(calls)
	if err != nil {
		t.Fatal(err)
	}
	var got []int // the syncs before each line that the child printed
	syncs := 0
	for line := range strings.Lines(string(text)) {
		switch {
		case strings.Contains(line, "msync(") && strings.Contains(line, "= 0"),
			strings.Contains(line, "msync resumed"):
			syncs++
		case strings.Contains(line, `write(1, "durable "`):
			got = append(got, syncs)
			syncs = 0
		}
	}
	if len(got) != 41 {
		t.Fatalf("got %d lines, want one at the start and one for each of 40 events", len(got))
	}
	for i, n := range got[1:] {
		if want := map[bool]int{false: 1, true: 2}[i%50 == 10]; n != want { // see writeMain
			t.Errorf("event %d: got %d syncs, want %d", i, n, want)
		}
	}
}
