//go:build firmware

package device_test

import (
	"context"
	"testing"
	"time"

	"latchkey/coapres/device"
	"latchkey/keys"
)

// The firmware, and a gateway that says more than it knows.
func TestFirmwareNewerGateway(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	p := newPost(t)
	p.readsGrown(p.reader(ctx, t.TempDir(), nil))
	p.peer()
	lock, err := device.StartProgram(device.ProgramConfig{Name: "node", Kind: keys.KindLock, Gateway: p.addr,
		Identity: p.identity, Secret: p.secret,
		Dir: t.TempDir(), Program: firmware(t, "lock-san")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(lock.Close)
	peer := p.peer()
	if err := lock.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	p.obeysWhole(peer, lock.Moves)
}
