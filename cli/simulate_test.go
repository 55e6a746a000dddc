package cli

import (
	"os"
	"path/filepath"
	"testing"

	"latchkey/keys/provision"
)

// built is a house for simulated nodes to connect to.
func built(t *testing.T) *house {
	t.Helper()
	h, err := buildHouse(t.Context(), &console{w: &lockedBuffer{}}, "mon-fri 08:00-18:00")
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
