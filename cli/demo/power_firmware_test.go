//go:build firmware

package demo

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
)

func TestFirmwareDemoPower(t *testing.T) {
	t.Parallel()
	out := &bytes.Buffer{}                         // the house writes one line at a time
	dir, err := filepath.Abs("../../bin/firmware") // make firmware-host builds it
	if err != nil {
		t.Fatal(err)
	}
	h, err := buildHouse(t.Context(), &console{w: out}, testSetting, cast{programs: dir},
		"mon-fri 08:00-18:00")
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	for _, line := range []string{"lock off", "lock off", "lock on", "lock on", "tap ann", "press"} {
		h.obey(t.Context(), strings.Fields(line))
	}
	h.out.mu.Lock()
	defer h.out.mu.Unlock()
	if text := out.String(); strings.Count(text, "granted, and done") != 2 ||
		!strings.Contains(text, "door unlocked") || !strings.Contains(text, "lamp on, 100 %") {
		t.Errorf("got\n%s\nwant an open door and a lit lamp", text)
	}
}
