//go:build firmware

package gateway_test

import (
	"testing"

	"latchkey/gateway/store"
)

// The firmware's handshake lives through hints at each of its stages, whatever their numbers are.
func TestFirmwareHandshakesUnderForgedHints(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	for s, stage := range stages {
		t.Run(stage.name, func(t *testing.T) {
			r := relay(t, d.addr)
			sent := forge(r, s, ahead())
			f := d.firmware(plain, "lock", "front-lock", d.lockKey, r.Addr(), "")
			f.t = t
			f.ready()
			if !sent.Load() {
				t.Error("no hint was sent")
			}
			f.Close()
		})
	}
	if got := d.metric("latchkey_handshakes_completed_total"); got != len(stages) {
		t.Errorf("got %d handshakes, want %d, each at the first try", got, len(stages))
	}
}
