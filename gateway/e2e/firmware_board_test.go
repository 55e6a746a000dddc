//go:build firmware

package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/coapres/device"
	dtls "latchkey/coapres/transport/record"
	"latchkey/coapres/wire"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/session"
	"latchkey/gateway/store"
	"latchkey/keys"
)

// firmBoard is a door whose reader and lock are one board.
type firmBoard struct {
	*door
	*firmware
	t *testing.T
}

// newFirmBoard starts a board and provisions both of its devices. reader and lock return the
// address at which each of them reaches the gateway. In an emulator all sockets of a board lead to
// one address, so there they must return the same one.
func newFirmBoard(t *testing.T, m machine, reader, lock func(gateway string) string) *firmBoard {
	t.Helper()
	d := newDoor(t, store.Options{})
	b := &firmBoard{door: d, t: t}
	b.firmware = d.runFirmware(m, "reader-lock", "front-reader", d.readerKey, reader(d.addr), "")
	b.firmware.waitUntilReady()
	b.provisionLock(lock(d.addr), d.lockKey.Secret)
	b.waitForBoth(0)
	return b
}

// provisionLock types the provisioning lines of the lock.
func (b *firmBoard) provisionLock(gateway string, secret keys.Secret) {
	b.Tell(strings.Join([]string{"role lock", "device front-lock", "kind lock", "gateway " + gateway,
		"identity " + string(b.lockKey.ID), "secret " + secret.Reveal(), "save"}, "\n"))
}

// waitForBoth waits until both devices have registered after mark.
func (b *firmBoard) waitForBoth(mark int) {
	b.t.Helper()
	b.awaitLine(mark, 30*time.Second, "log lock: registered")
	b.firmware.waitUntilReady()
	b.awaitLockState()
}

// isNameOnline tells whether the gateway shows the device with this name as online.
func (b *firmBoard) isNameOnline(name string) bool {
	return slices.ContainsFunc(b.gw.Views(), func(v session.View) bool { return v.Name == name && v.Online })
}

// tapUntilOpen taps until the door opens, and waits until it is shut again.
func (b *firmBoard) tapUntilOpen() {
	b.t.Helper()
	moves := b.Moves()
	eventually(b.t, "the door opens for the next tap", 40*time.Second, func() bool {
		v, err := b.firmware.scan(annsCard)
		return err == nil && v.Verdict == wire.Granted && b.Moves() > moves
	})
	b.waitUntilShut()
}

// waitUntilShut waits until the door is shut.
func (b *firmBoard) waitUntilShut() {
	b.t.Helper()
	eventually(b.t, "the pulse ends by itself", 3*time.Second, func() bool { return !b.State().On })
}

// pressButton presses the exit button and waits until the door opens.
func (b *firmBoard) pressButton(when string) {
	b.t.Helper()
	moves := b.Moves()
	b.Tell("!button 1")
	eventually(b.t, "the exit button opens "+when, time.Second, func() bool { return b.Moves() == moves+1 })
	b.Tell("!button 0")
}

// openFromInside presses the exit button and waits until the door is shut again.
func (b *firmBoard) openFromInside(when string) {
	b.t.Helper()
	b.pressButton(when)
	b.waitUntilShut()
}

// unlockByGateway unlocks the door by the admin API, without the reader.
func (b *firmBoard) unlockByGateway() {
	b.t.Helper()
	var got any
	moves := b.Moves()
	b.askAPI("test", "POST", "/v1/operate", api.Order{Target: "front-door", Action: "unlock"}, &got)
	eventually(b.t, "the gateway unlocks the door", 2*time.Second,
		func() bool { return b.Moves() == moves+1 })
	b.waitUntilShut()
}

// checkBudget checks the board's memory, which only the emulator counts. A board of two devices may
// use twice the heap.
func (b *firmBoard) checkBudget(m machine) {
	b.t.Helper()
	if m.emulator == "" {
		return
	}
	mark := b.Mark()
	b.Tell("!stat")
	heap, peak, stack := b.readStat(mark)
	checkAtMost(b.t, "heap", peak, 2*mostHeap)
	checkAtMost(b.t, "stack", stack, mostStack)
	b.t.Logf("heap %d peak %d, stack %d", heap, peak, stack)
}

// To the gateway one board that is reader and lock is two devices, with two keys and two sessions,
// at one door.
func TestFirmwareReaderAndLockOnOneBoard(t *testing.T) {
	t.Parallel()
	onEachMachine(t, func(t *testing.T, m machine) {
		b := newFirmBoard(t, m, directWay, directWay)
		online := map[string]string{}
		for _, v := range b.gw.Views() {
			if v.Online {
				online[v.Name] = v.Addr
			}
		}
		if len(online) != 2 || online["front-reader"] == online["front-lock"] {
			t.Errorf("got the sessions %v, want one of each device from an address of its own", online)
		}

		b.wantVerdict(annsCard, wire.Granted)
		if !b.State().On {
			t.Error("the scan was granted, but the lock is off")
		}
		b.waitUntilShut()
		b.wantVerdict(bobsCard, wire.Denied)
		if got := b.Moves(); got != 1 {
			t.Errorf("the lock went on %d times, want once", got)
		}
		b.openFromInside("at any time")

		mark := b.Mark()
		b.powerCycle()
		b.waitForBoth(mark)
		b.wantVerdict(annsCard, wire.Granted)
		b.checkBudget(m)
	})
}

// The gateway stops with a close_notify in the middle of a pulse. The relay switches off, and until
// the gateway is back the door opens only from inside. Then both devices reconnect.
func TestFirmwareBoardWhoseGatewayStops(t *testing.T) {
	t.Parallel()
	onEachMachine(t, func(t *testing.T, m machine) {
		b := newFirmBoard(t, m, directWay, directWay)
		mark := b.Mark()
		b.wantVerdict(annsCard, wire.Granted)
		b.stop()
		b.awaitLine(mark, 3*time.Second, " output 0 0")
		b.awaitLine(mark, 3*time.Second, " log session lost")
		b.awaitLine(mark, 3*time.Second, " log lock: session lost")
		moves := b.Moves()
		if v, err := b.firmware.scan(annsCard); err == nil || b.Moves() != moves {
			t.Errorf("without a gateway: got %+v and %d more pulses, want none", v, b.Moves()-moves)
		}
		b.openFromInside("without a gateway")
		mark = b.Mark()
		b.start()
		b.waitForBoth(mark)
		b.tapUntilOpen()
	})
}

// The gateway restarts without a close_notify, so both devices open a new session beside the old
// one. Here both handshakes run at the same time, which needs the most memory of such a board, and
// the exit button still opens the door.
func TestFirmwareBoardRenewsBothSessions(t *testing.T) {
	t.Parallel()
	onEachMachine(t, func(t *testing.T, m machine) {
		way, r := newRelayWay(t)
		b := newFirmBoard(t, m, way, func(string) string { return r().Addr() })
		b.tapUntilOpen()
		r().Impair(device.Impairment{Loss: 1})
		b.stop()
		// The answers to both ClientHellos are lost, but hints are not.
		r().Lose(func(dir device.Direction, b []byte) bool {
			return dir == device.Down && b[0] == 22 && !dtls.IsHelloRequest(b)
		})
		mark := b.Mark()
		b.start()
		r().Impair(device.Impairment{})
		b.Tell("!tamper 1") // both devices now send a report, to a gateway that does not have their sessions
		b.awaitLine(mark, 20*time.Second, " log not answered, connecting beside")
		b.awaitLine(mark, 20*time.Second, " log lock: not answered, connecting beside")
		b.pressButton("while both sessions are renewed")
		// Longer than a node waits before it retransmits its ClientHello.
		r().Hold(device.Down, 1200*time.Millisecond)
		r().Lose(nil)
		b.awaitLine(mark, 20*time.Second, " log session up 2")
		b.awaitLine(mark, 20*time.Second, " log lock: session up 2")
		b.awaitLine(mark, 20*time.Second, " log registered")
		b.waitForBoth(mark)
		b.waitUntilShut()
		b.tapUntilOpen()
		b.checkBudget(m)
	})
}

// If one key is wrong or revoked, the device with that key can do nothing, and the other one works.
func TestFirmwareBoardWithOneGoodKey(t *testing.T) {
	t.Parallel()
	onEachMachine(t, func(t *testing.T, m machine) {
		b := newFirmBoard(t, m, directWay, directWay)
		b.tapUntilOpen()

		mark := b.Mark()
		b.provisionLock(b.addr, b.readerKey.Secret)
		b.awaitLine(mark, 10*time.Second, "log lock: connecting 1")
		b.awaitLine(mark, 20*time.Second, "log registered")
		moves := b.Moves()
		b.wantVerdict(annsCard, wire.Retry)
		b.awaitLine(mark, 20*time.Second, "log lock: session lost, error")
		b.wantVerdict(annsCard, wire.Retry)
		if b.isNameOnline("front-lock") || b.Moves() != moves {
			t.Error("a lock with the wrong secret is online, or opened the door")
		}
		b.openFromInside("with the wrong secret")
		mark = b.Mark()
		b.provisionLock(b.addr, b.lockKey.Secret)
		b.waitForBoth(mark)
		b.tapUntilOpen()

		mark = b.Mark()
		b.revokeKey(b.readerKey)
		b.awaitLine(mark, 5*time.Second, "log session lost")
		b.unlockByGateway()
		if v, err := b.firmware.scan(annsCard); err == nil {
			t.Errorf("got %+v with a revoked key, want no verdict", v)
		}
		b.openFromInside("without a reader")
		b.unlockByGateway()
		if !b.isNameOnline("front-lock") || b.isNameOnline("front-reader") {
			t.Error("the lock is offline, or the reader is online")
		}
	})
}

// When one of the two devices cannot reach the gateway, the other one's session continues. A lock
// that cannot reach the gateway opens only from inside.
func TestFirmwareBoardLosesOneSession(t *testing.T) {
	t.Parallel()
	readerWay, readerRelay := newRelayWay(t)
	lockWay, lockRelay := newRelayWay(t)
	b := newFirmBoard(t, host, readerWay, lockWay)
	b.tapUntilOpen()

	readerRelay().Impair(device.Impairment{Loss: 1})
	mark := b.Mark()
	if v, err := b.firmware.scan(annsCard); err == nil {
		t.Errorf("got %+v while the reader cannot reach the gateway, want no verdict", v)
	}
	b.awaitLine(mark, 10*time.Second, "log session lost")
	b.unlockByGateway()
	b.openFromInside("without a reader")
	readerRelay().Impair(device.Impairment{})
	b.tapUntilOpen()

	lockRelay().Impair(device.Impairment{Loss: 1})
	mark = b.Mark()
	b.wantVerdict(annsCard, wire.Retry)
	b.openFromInside("without a gateway")
	b.awaitLine(mark, 60*time.Second, "log lock: session lost")
	b.wantVerdict(annsCard, wire.Retry)
	lockRelay().Impair(device.Impairment{})
	b.waitForBoth(mark)
	b.tapUntilOpen()
}
