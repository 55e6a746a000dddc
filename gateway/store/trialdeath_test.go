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

// TestTrialDies: whatever the process that tries a store out dies of, the store is refused in one
// sentence, and nothing of it is changed.
func TestTrialDies(t *testing.T) {
	const table = "db/000001.sst"
	const engine = "store: db/: the database engine breaks down at it ("
	const copied = "nothing was changed: put the whole data folder back from a copy"
	for _, how := range []struct {
		name   string
		inject string // by strace, where the table is mapped
		what   string
		wants  []string
		other  bool // it is not said that the store is damaged
	}{
		{"panic of another goroutine", "", "panic", []string{engine + "panic: Block: index out of range", copied}, false},
		{"SIGBUS", "mmap:signal=SIGBUS", "trial", []string{engine + "SIGBUS: bus error)", copied}, false},
		{"SIGSEGV", "mmap:signal=SIGSEGV", "trial", []string{engine + "SIGSEGV: segmentation violation)", copied}, false},
		{"killed, as for want of memory", "mmap:signal=SIGKILL", "trial",
			[]string{"could not be tried out (signal: killed)", "nothing was changed: see that this machine has memory"}, true},
	} {
		t.Run(how.name, func(t *testing.T) {
			o := tabled(t, 1, 50)
			o.Child = func(ctx context.Context) *exec.Cmd {
				if how.inject == "" {
					return self(ctx, how.what)
				}
				return straced(ctx, t, how.inject, how.what, "-P", filepath.Join(o.Dir, table))
			}
			text := diesAt(t, o, how.other)
			for _, want := range how.wants {
				if !strings.Contains(text, want) {
					t.Errorf("got %q, want %q in it", text, want)
				}
			}
			o.Child = trialChild
			closeChecked(t, mustOpen(t, o))
		})
	}
}

// TestTrialMeetsAShorterFile: the survey saw a whole table, and then it lost its end, so that the
// reader of the mapped file gets a real SIGBUS.
func TestTrialMeetsAShorterFile(t *testing.T) {
	o := tabled(t, 1, 50)
	file := filepath.Join(o.Dir, "db/000001.sst")
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	o.Child = func(ctx context.Context) *exec.Cmd {
		return straced(ctx, t, "mmap:delay_exit=1000000", "shorten "+file, "-P", file)
	}
	s, err := Open(context.Background(), o)
	if err == nil {
		_ = s.Close()
		t.Fatal("it opened")
	}
	t.Log(err)
	if text := err.Error(); !errors.Is(err, ErrCorrupt) || !strings.HasPrefix(text, "store: db/000001.sst: ") || folder.Printable(text) != text {
		t.Errorf("got %q, want one sentence that names db/000001.sst", text)
	}
	if err := os.WriteFile(file, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	o.Child = trialChild
	closeChecked(t, mustOpen(t, o))
}

// diesAt opens a store whose trial dies and returns the refusal.
func diesAt(t *testing.T, o Options, other bool) string {
	t.Helper()
	before := tree(t, o.Dir)
	s, err := Open(context.Background(), o)
	if err == nil {
		_ = s.Close()
		t.Fatal("it opened")
	}
	t.Log(err)
	if tree(t, o.Dir) != before {
		t.Error("the folder changed")
	}
	if text := err.Error(); errors.Is(err, ErrCorrupt) == other || strings.Contains(text, "goroutine") || folder.Printable(text) != text {
		t.Errorf("got %q, want one sentence", text)
	}
	for _, parent := range folder.ScratchParents(o.Dir) {
		if left, _ := filepath.Glob(filepath.Join(parent, "latchkey-trial-*")); parent == o.Dir && len(left) > 0 {
			t.Errorf("%v is left", left)
		}
	}
	return err.Error()
}
