//go:build firmware

package device_test

import (
	"context"
	"testing"
	"time"

	"latchkey/coapres/device"
	"latchkey/keys"
)

// The firmware works with a newer gateway, whose messages have members that it does not know.
func TestFirmwareNewerGateway(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	p := newPost(t)
	p.checkNewerVerdicts(p.runReader(ctx, t.TempDir(), nil))
	p.awaitPeer()
	lock, err := device.StartProgram(device.ProgramConfig{Name: "node", Kind: keys.KindLock, Gateway: p.addr,
		Identity: p.identity, Secret: p.secret,
		Dir: t.TempDir(), Program: findFirmware(t, "lock-san")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(lock.Close)
	peer := p.awaitPeer()
	if err := lock.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	p.checkNewerCommands(peer, lock.Moves)
}
