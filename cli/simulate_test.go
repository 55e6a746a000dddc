package cli

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey/cli/connection"
	"latchkey/cli/demo"
	"latchkey/keys/provision"
)

// buildHouse builds a demo house to which simulated nodes can connect.
func buildHouse(t *testing.T) *demo.House {
	t.Helper()
	h, err := demo.Build(t.Context(), demo.Setting{Socket: connection.SocketName,
		Options: connection.StoreOptions}, &lockedBuffer{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

// writeBundle cuts the power of a device, and writes its bundle to a file for a simulated node in
// its place.
func writeBundle(t *testing.T, h *demo.House, name string) string {
	t.Helper()
	h.CutPower(name)
	path := filepath.Join(t.TempDir(), name+".json")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Bundle(name).Write(f, provision.JSON); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestInterruptEndsSimulation(t *testing.T) {
	h := buildHouse(t)
	for name, kind := range map[string]string{demo.Tester: "reader", demo.Switch: "switch"} {
		if got, text := runInterrupted(t, "simulate", kind, "--bundle", writeBundle(t, h, name)); got != 0 {
			t.Errorf("%s: got %d %q, want 0, since an interrupt is its usual end", kind, got, text)
		}
	}
}

// runSimulation runs a simulated node with lines as input until it ends by itself.
func runSimulation(t *testing.T, input string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	out, errs := &lockedBuffer{}, &lockedBuffer{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		status = exit(errs, run(t.Context(), append([]string{"simulate"}, args...), strings.NewReader(input),
			out, errs))
	}()
	awaitEnd(t, "the simulation to end", done)
	return status, out.from(0), errs.from(0)
}

func TestSwitchEndsAtBadLine(t *testing.T) {
	h := buildHouse(t)
	status, stdout, stderr := runSimulation(t, "desk level 40\ndesk level\ndesk off\n", "switch", "--bundle",
		writeBundle(t, h, demo.Switch))
	if status != 2 || strings.Count(stdout, "granted") != 1 || !strings.Contains(stderr,
		"latchkey simulate switch: level needs a number") {
		t.Errorf("got %d, %q, %q, want the first line obeyed, and status 2 because of the second", status,
			stdout, stderr)
	}
	if got := h.State(demo.Bulb); !got.On || got.Level != 40 {
		t.Errorf("got %+v, want the lamp in the state of the first line", got)
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

// When a second node connects with the same key, the session of the first one ends, and the first
// one says so.
func TestSimulationReportsALostSession(t *testing.T) {
	h := buildHouse(t)
	for name, kind := range map[string]string{demo.Bulb: "lamp", demo.Switch: "switch"} {
		t.Run(kind, func(t *testing.T) {
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			bundle, out, errs := writeBundle(t, h, name), &lockedBuffer{}, &lockedBuffer{}
			done, status := make(chan struct{}), 0
			go func() {
				defer close(done)
				status = exit(errs, run(ctx, []string{"simulate", kind, "--bundle", bundle}, newSilence(t),
					out, errs))
			}()
			awaitText(t, errs, " is connected to ")
			if err := h.PowerUp(t.Context(), name); err != nil {
				t.Fatal(err)
			}
			awaitText(t, errs, name+": session lost, trying again\n")
			h.CutPower(name)
			awaitText(t, errs, name+": connected again\n")
			interrupt()
			awaitEnd(t, "the simulation to end", done)
			if status != 0 {
				t.Errorf("got %d %q, want 0", status, errs.from(0))
			}
		})
	}
}

func TestSimulationInJSON(t *testing.T) {
	h := buildHouse(t)

	status, stdout, stderr := runSimulation(t, "04a1b2c3d4e580\n99887766\n", "reader", "--json", "--bundle",
		writeBundle(t, h, demo.Tester))
	want := `{"verdict":"granted","last":1,"counter":1}` + "\n" +
		`{"verdict":"denied","last":2,"counter":2}` + "\n"
	if status != 0 || stdout != want {
		t.Errorf("reader: got %d, %q, %q, want %q", status, stdout, stderr, want)
	}

	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	lamp, out, errs := writeBundle(t, h, demo.Bulb), &lockedBuffer{}, &lockedBuffer{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		exit(errs, run(ctx, []string{"simulate", "lamp", "--json", "--bundle", lamp}, nil, out, errs))
	}()
	awaitText(t, errs, " is connected to ")
	status, stdout, stderr = runSimulation(t, "desk level 40\ndesk unlock\nnowhere on\n", "switch", "--json",
		"--bundle", writeBundle(t, h, demo.Switch))
	want = `{"verdict":"granted","last":1,"counter":1}` + "\n" +
		`{"verdict":"denied","last":2,"counter":2}` + "\n" +
		`{"error":"answered NotFound: no such thing for this device","counter":3}` + "\n"
	if status != 0 || stdout != want {
		t.Errorf("switch: got %d, %q, %q, want %q", status, stdout, stderr, want)
	}
	interrupt()
	awaitEnd(t, "the lamp to end", done)
	if got, want := out.from(0), `{"level":40,"on":true}`+"\n"+`{"on":false}`+"\n"; got != want {
		t.Errorf("lamp: got %q, %q, want %q", got, errs.from(0), want)
	}
}
