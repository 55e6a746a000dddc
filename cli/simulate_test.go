package cli

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey/coapres/wire"
	"latchkey/keys/provision"
)

// built is a house for simulated nodes to connect to.
func built(t *testing.T) *house {
	t.Helper()
	h, err := buildHouse(t.Context(), &console{w: &lockedBuffer{}}, cast{}, "mon-fri 08:00-18:00")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.close)
	return h
}

// bundle takes the power of a device away, if it has any, and returns a file for a node in its place.
func (h *house) bundle(t *testing.T, name string) string {
	t.Helper()
	if n := h.nodes[name]; n != nil {
		n.off()
	}
	path := filepath.Join(t.TempDir(), name+".json")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.bundles[name].Write(f, provision.JSON); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestInterruptEndsSimulation(t *testing.T) {
	h := built(t)
	for name, kind := range map[string]string{demoTester: "reader", demoSwitch: "switch"} {
		if got, text := interrupted(t, "simulate", kind, "--bundle", h.bundle(t, name)); got != 0 {
			t.Errorf("%s: got %d %q, want 0: that is how it is meant to end", kind, got, text)
		}
	}
}

func TestParsePress(t *testing.T) {
	for _, tt := range []struct {
		name, line string
		action     wire.Action
		level      uint8
		err        string
	}{
		{"no level is needed", "desk toggle", wire.Toggle, 0, ""},
		{"a door", " desk\tunlock ", wire.Unlock, 0, ""},
		{"a level", "desk level 40", wire.Level, 40, ""},
		{"the lowest level", "desk level 0", wire.Level, 0, ""},
		{"the highest level", "desk level 100", wire.Level, 100, ""},
		{"level without a number is not off", "desk level", 0, 0, "needs a number of 0 to 100"},
		{"above the highest level", "desk level 101", 0, 0, `there is no level "101"`},
		{"a level below", "desk level -1", 0, 0, `there is no level "-1"`},
		{"a number that nobody uses", "desk toggle 40", 0, 0, `"40" is too much`},
		{"two levels", "desk level 40 50", 0, 0, `"50" is too much`},
		{"no action", "desk", 0, 0, "want TARGET ACTION [LEVEL]"},
		{"an unknown action", "desk frob", 0, 0, `there is no action "frob": want on, off, toggle, level LEVEL, unlock or lock`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			target, action, level, err := parsePress(tt.line)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("got %v, want %q", err, tt.err)
				}
				return
			}
			if err != nil || target != "desk" || action != tt.action || level != tt.level {
				t.Errorf("got %q %v %d, %v, want desk %v %d", target, action, level, err, tt.action, tt.level)
			}
		})
	}
}

// simulated runs a node on the lines of an input until it ends by itself.
func simulated(t *testing.T, input string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	out, errs := &lockedBuffer{}, &lockedBuffer{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		status = exit(errs, run(t.Context(), append([]string{"simulate"}, args...), strings.NewReader(input), out, errs))
	}()
	within(t, "the simulation to end", done)
	return status, out.from(0), errs.from(0)
}

func TestSwitchEndsAtBadLine(t *testing.T) {
	h := built(t)
	status, stdout, stderr := simulated(t, "desk level 40\ndesk level\ndesk off\n", "switch", "--bundle", h.bundle(t, demoSwitch))
	if status != 2 || strings.Count(stdout, "granted") != 1 || !strings.Contains(stderr, "latchkey simulate switch: level needs a number") {
		t.Errorf("got %d, %q, %q, want the first line done and 2 for the second", status, stdout, stderr)
	}
	if got := h.nodes[demoBulb].State(); !got.On || got.Level != 40 {
		t.Errorf("got %+v, want the lamp as the first line left it", got)
	}
}

// awaitText waits until an output holds a text.
func awaitText(t *testing.T, b *lockedBuffer, text string) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !strings.Contains(b.from(0), text) {
		select {
		case <-deadline:
			t.Fatalf("waited %v for %q: got %q", patience, text, b.from(0))
		case <-tick.C:
		}
	}
}

// A session of a second node with the same key ends that of the first.
func TestSimulationTellsOfLostSession(t *testing.T) {
	h := built(t)
	for name, kind := range map[string]string{demoBulb: "lamp", demoSwitch: "switch"} {
		t.Run(kind, func(t *testing.T) {
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			bundle, out, errs := h.bundle(t, name), &lockedBuffer{}, &lockedBuffer{}
			done, status := make(chan struct{}), 0
			go func() {
				defer close(done)
				status = exit(errs, run(ctx, []string{"simulate", kind, "--bundle", bundle}, newSilence(t), out, errs))
			}()
			awaitText(t, errs, " is connected to ")
			if err := h.power(t.Context(), name); err != nil {
				t.Fatal(err)
			}
			awaitText(t, errs, name+": session lost, trying again\n")
			h.nodes[name].off()
			awaitText(t, errs, name+": connected again\n")
			interrupt()
			within(t, "the simulation to end", done)
			if status != 0 {
				t.Errorf("got %d %q, want 0", status, errs.from(0))
			}
		})
	}
}

func TestSimulationInJSON(t *testing.T) {
	h := built(t)

	status, stdout, stderr := simulated(t, "04a1b2c3d4e580\n99887766\n", "reader", "--json", "--bundle", h.bundle(t, demoTester))
	want := `{"verdict":"granted","last":1,"counter":1}` + "\n" + `{"verdict":"denied","last":2,"counter":2}` + "\n"
	if status != 0 || stdout != want {
		t.Errorf("reader: got %d, %q, %q, want %q", status, stdout, stderr, want)
	}

	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	lamp, out, errs := h.bundle(t, demoBulb), &lockedBuffer{}, &lockedBuffer{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		exit(errs, run(ctx, []string{"simulate", "lamp", "--json", "--bundle", lamp}, nil, out, errs))
	}()
	awaitText(t, errs, " is connected to ")
	status, stdout, stderr = simulated(t, "desk level 40\ndesk unlock\nnowhere on\n", "switch", "--json", "--bundle", h.bundle(t, demoSwitch))
	want = `{"verdict":"granted","last":1,"counter":1}` + "\n" + `{"verdict":"denied","last":2,"counter":2}` + "\n" +
		`{"error":"answered NotFound: no such thing for this device","counter":3}` + "\n"
	if status != 0 || stdout != want {
		t.Errorf("switch: got %d, %q, %q, want %q", status, stdout, stderr, want)
	}
	interrupt()
	within(t, "the lamp to end", done)
	if got, want := out.from(0), `{"level":40,"on":true}`+"\n"+`{"on":false}`+"\n"; got != want {
		t.Errorf("lamp: got %q, %q, want %q", got, errs.from(0), want)
	}
}
