package store

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"latchkey/gateway/store/folder"
)

// TestTrialDies: however the process that tries a store out ends, the store is refused in one
// sentence, and nothing in it has changed.
func TestTrialDies(t *testing.T) {
	const table = "db/000001.sst"
	const engine = "store: db/: the database engine breaks down at it ("
	const copied = "nothing was changed: put the whole data folder back from a copy"
	for _, how := range []struct {
		name   string
		inject string // by strace, where the table is mapped
		what   string
		wants  []string
		other  bool // the error does not say that the store is damaged
	}{
		{"panic of another goroutine", "", "panic", []string{engine + "panic: Block: index out of range",
			copied}, false},
		{"SIGBUS", "mmap:signal=SIGBUS", "trial", []string{engine + "SIGBUS: bus error)", copied}, false},
		{"SIGSEGV", "mmap:signal=SIGSEGV", "trial", []string{engine + "SIGSEGV: segmentation violation)",
			copied}, false},
		{"killed, as when memory is short", "mmap:signal=SIGKILL", "trial",
			[]string{"could not be tried out (signal: killed)",
				"nothing was changed: see that this machine has memory"}, true},
	} {
		t.Run(how.name, func(t *testing.T) {
			o := makeTables(t, 1, 50)
			o.Child = func(ctx context.Context) *exec.Cmd {
				if how.inject == "" {
					return makeChild(ctx, how.what)
				}
				return traceChild(ctx, t, how.inject, how.what, "-P", filepath.Join(o.Dir, table))
			}
			text := openWhenTrialDies(t, o, how.other)
			for _, want := range how.wants {
				if !strings.Contains(text, want) {
					t.Errorf("got %q, want %q in it", text, want)
				}
			}
			o.Child = makeTrialChild
			checkAndClose(t, mustOpen(t, o))
		})
	}
}

// TestTrialMeetsAShorterFile: a table loses its end after the survey has read it, so that reading
// the mapped file raises a real SIGBUS.
func TestTrialMeetsAShorterFile(t *testing.T) {
	o := makeTables(t, 1, 50)
	file := filepath.Join(o.Dir, "db/000001.sst")
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	o.Child = func(ctx context.Context) *exec.Cmd {
		return traceChild(ctx, t, "mmap:delay_exit=1000000", "shorten "+file, "-P", file)
	}
	s, err := Open(context.Background(), o)
	if err == nil {
		_ = s.Close()
		t.Fatal("opened, want an error")
	}
	t.Log(err)
	if text := err.Error(); !errors.Is(err, ErrCorrupt) ||
		!strings.HasPrefix(text, "store: db/000001.sst: ") || folder.Printable(text) != text {
		t.Errorf("got %q, want one sentence that names db/000001.sst", text)
	}
	if err := os.WriteFile(file, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	o.Child = makeTrialChild
	checkAndClose(t, mustOpen(t, o))
}

// openWhenTrialDies opens a store whose trial dies, and returns the text of the error.
func openWhenTrialDies(t *testing.T, o Options, other bool) string {
	t.Helper()
	before := describeTree(t, o.Dir)
	s, err := Open(context.Background(), o)
	if err == nil {
		_ = s.Close()
		t.Fatal("opened, want an error")
	}
	t.Log(err)
	if describeTree(t, o.Dir) != before {
		t.Error("the folder changed")
	}
	if text := err.Error(); errors.Is(err, ErrCorrupt) == other || strings.Contains(text, "goroutine") ||
		folder.Printable(text) != text {
		t.Errorf("got %q, want one sentence", text)
	}
	for _, parent := range folder.ScratchParents(o.Dir) {
		if left, _ := filepath.Glob(filepath.Join(parent, "latchkey-trial-*")); parent == o.Dir &&
			len(left) > 0 {
			t.Errorf("scratch folders are left: %v", left)
		}
	}
	return err.Error()
}
