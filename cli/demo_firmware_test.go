//go:build firmware

package cli

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// programs is the folder of what make firmware-host builds.
const programs = "../bin/firmware"

func TestFirmwareDemoStory(t *testing.T) {
	t.Parallel()
	out, errs := &lockedBuffer{}, &lockedBuffer{}
	got := Main([]string{"demo", "--script", "--firmware", "--firmware-dir", programs, "--verbose"}, nil, out, errs)
	if text := out.from(0); got != 0 || errs.len() > 0 || !strings.Contains(text, "All went as told") || !strings.Contains(text, "front-lock: registered") {
		t.Errorf("got exit %d, %q, and\n%s\nwant 0, nothing, and that all went as told", got, errs.from(0), text)
	}
}

func TestFirmwareDemoPower(t *testing.T) {
	t.Parallel()
	out := &lockedBuffer{}
	dir, err := filepath.Abs(programs)
	if err != nil {
		t.Fatal(err)
	}
	h, err := buildHouse(t.Context(), &console{w: out}, cast{programs: dir}, "mon-fri 08:00-18:00")
	if err != nil {
		t.Fatal(err)
	}
	defer h.close()
	for _, line := range []string{"lock off", "lock off", "lock on", "lock on", "tap ann", "press"} {
		h.obey(t.Context(), strings.Fields(line))
	}
	if text := out.from(0); strings.Count(text, "granted, and done") != 2 || !strings.Contains(text, "door unlocked") || !strings.Contains(text, "lamp on, 100 %") {
		t.Errorf("got\n%s\nwant an open door and a lit lamp", text)
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
		status = exit(errs, run(ctx, []string{"demo", "--script", "--firmware", "--firmware-dir", programs}, nil, out, errs))
	}()
	awaitText(t, out, "granted, and done")
	interrupt()
	within(t, "the story to end", done)
	if got := errs.from(0); status != 1 || got != "latchkey: interrupted\n" || strings.Contains(out.from(0), "NOT AS TOLD") {
		t.Errorf("got %d %q, and\n%s\nwant 1, that it was interrupted, and no fault", status, got, out.from(0))
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("got %v, %v left, want nothing: it holds the nodes' secrets", left, err)
	}
}
