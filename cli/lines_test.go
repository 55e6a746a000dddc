package cli

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/cli/terminal"
)

const patience = 20 * time.Second

// silence is an input to which nobody ever writes.
type silence struct {
	asked chan struct{} // closed by the first read
	end   chan struct{}
	once  sync.Once
}

func newSilence(t *testing.T) *silence {
	s := &silence{asked: make(chan struct{}), end: make(chan struct{})}
	t.Cleanup(func() { close(s.end) })
	return s
}

func (s *silence) Read([]byte) (int, error) {
	s.once.Do(func() { close(s.asked) })
	<-s.end
	return 0, io.EOF
}

func awaitEnd(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatalf("waited %v for %s", patience, what)
	}
}

// runInterrupted runs a command that reads a silent input, interrupts it while it reads, and
// returns its exit status and stderr.
func runInterrupted(t *testing.T, args ...string) (int, string) {
	t.Helper()
	ctx, interrupt := context.WithCancel(context.Background())
	defer interrupt()
	in, out, errs := newSilence(t), &lockedBuffer{}, &lockedBuffer{}
	done, status := make(chan struct{}), 0
	go func() {
		defer close(done)
		status = exit(errs, run(ctx, args, in, out, errs))
	}()
	select {
	case <-in.asked:
	case <-done:
		t.Fatalf("%q ended with %d before it read: %s", args, status, errs.from(0))
	case <-time.After(patience):
		t.Fatalf("%q does not read", args)
	}
	interrupt()
	awaitEnd(t, "the interrupted command to end", done)
	return status, errs.from(0)
}

func TestInterruptEndsWaitForUID(t *testing.T) {
	for _, args := range [][]string{
		{"card", "add", "--person", "ann", "--uid", "-"},
		{"explain", "--target", "front-door", "--uid", "-"},
	} {
		args = append(args, "--data", t.TempDir())
		if got, text := runInterrupted(t, args...); got != 1 || text != "latchkey: interrupted\n" {
			t.Errorf("%q: got %d %q, want 1 and that it was interrupted", args, got, text)
		}
	}
}

func TestLines(t *testing.T) {
	const text = "one\n\n  \ntwo"
	var got []string
	err := terminal.NewLineReader(strings.NewReader(text)).ForEach(t.Context(), func(line string) error {
		got = append(got, line)
		return nil
	})
	if err != nil || strings.Join(got, ",") != "one,two" {
		t.Errorf("got %q, %v, want the lines that are not blank, and the last one without a line end", got,
			err)
	}

	stop := errors.New("stop")
	calls := 0
	err = terminal.NewLineReader(strings.NewReader(text)).ForEach(t.Context(),
		func(string) error { calls++; return stop })
	if !errors.Is(err, stop) || calls != 1 {
		t.Errorf("got %v after %d calls, want that the first error ends it", err, calls)
	}

	ctx, interrupt := context.WithCancel(t.Context())
	calls = 0
	err = terminal.NewLineReader(strings.NewReader(text)).ForEach(ctx,
		func(string) error { calls++; interrupt(); return nil })
	if err != nil || calls != 1 {
		t.Errorf("got %v after %d calls, want that an interrupt ends it without an error", err, calls)
	}

	if err = terminal.NewLineReader(strings.NewReader(strings.Repeat("x", 1<<17))).ForEach(t.Context(),
		nil); err == nil {
		t.Error("a line that is too long: got no error")
	}
}
