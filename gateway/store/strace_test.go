package store

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// traceChild returns a command that runs this test binary as a child under strace, which injects a
// fault. strace counts the calls of each name and thread separately. more are further options of
// strace.
func traceChild(ctx context.Context, t testing.TB, inject, what string, more ...string) *exec.Cmd {
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
	cmd.Path, cmd.Args = path, []string{path, "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null", "-e",
		"inject=" + inject}
	cmd.Args = append(append(cmd.Args, more...), exe)
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
