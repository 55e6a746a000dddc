package store

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// straced runs a child of this test binary under strace, which injects a fault. The count is of one
// call and one thread. more are further options of strace.
func straced(ctx context.Context, t testing.TB, inject, what string, more ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath("strace")
	if err != nil {
		t.Fatal("strace is missing: make deps installs it")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := self(ctx, what)
	cmd.Env = append(cmd.Env, stracedEnv+"=1")
	cmd.Path, cmd.Args = path, []string{path, "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null", "-e", "inject=" + inject}
	cmd.Args = append(append(cmd.Args, more...), exe)
	return cmd
}

// TestCreationCut kills a creation in its system calls. Whenever it was, the store opens
// afterwards, as a new one or as the one that was made.
func TestCreationCut(t *testing.T) { cutCreation(t, []int{1, 3}) }

func cutCreation(t *testing.T, numbers []int) {
	for _, call := range []string{"mkdirat", "openat", "write", "ftruncate", "mmap", "msync", "fsync", "renameat", "unlinkat"} {
		for _, n := range numbers {
			if call == "openat" || call == "mmap" { // the first ones are the program's start
				n += 20
			}
			t.Run(fmt.Sprint(call, n), func(t *testing.T) {
				o := Options{Dir: filepath.Join(t.TempDir(), "data"), Now: newClock().Now, MinFree: 1}
				cmd := straced(t.Context(), t, fmt.Sprintf("%s:signal=SIGKILL:when=%d", call, n), "write "+o.Dir+" 0")
				w := follow(t, cmd)
				s, err := Open(context.Background(), o)
				if err != nil {
					t.Fatalf("killed after %+v, and then: %v", w, err)
				}
				if seq, _ := s.Head(); seq < w.seq {
					t.Errorf("got event %d, want %d, which was durable", seq, w.seq)
				}
				closeChecked(t, s)
			})
		}
	}
}
