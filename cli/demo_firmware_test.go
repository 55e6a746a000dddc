//go:build firmware

package cli

import (
	"context"
	"os"
	"strings"
	"testing"
)

// programs is the folder with the programs that make firmware-host builds.
const programs = "../bin/firmware"

func TestFirmwareDemoStory(t *testing.T) {
	t.Parallel()
	out, errs := &lockedBuffer{}, &lockedBuffer{}
	got := Main([]string{"demo", "--script", "--firmware", "--firmware-dir", programs, "--verbose"}, nil, out,
		errs)
	if text := out.from(0); got != 0 || errs.len() > 0 || !strings.Contains(text, "All went as expected") ||
		!strings.Contains(text, "front-lock: registered") {
		t.Errorf("got exit %d, stderr %q, and\n%s\nwant 0, no stderr, and that all went as expected", got,
			errs.from(0),
			text)
	}
}

func TestFirmwareDemoInterrupted(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	out, errs := &lockedBuffer{}, &lockedBuffer{}
	done, status := make(chan struct{}), 0
	go func() {
		defer close(done)
		status = exit(errs, run(ctx, []string{"demo", "--script", "--firmware", "--firmware-dir", programs},
			nil, out, errs))
	}()
	awaitText(t, out, "granted, and done")
	interrupt()
	awaitEnd(t, "the story to end", done)
	if got := errs.from(0); status != 1 || got != "latchkey: interrupted\n" || strings.Contains(out.from(0),
		"NOT AS EXPECTED") {
		t.Errorf("got %d %q, and\n%s\nwant 1, that it was interrupted, and no unexpected result", status, got,
			out.from(0))
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("got %v left, %v, want nothing, since the files hold the nodes' secrets", left, err)
	}
}
