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

// newFirmBoard starts a board and provisions both of its devices, each with the gateway at the
// address given. In an emulator all sockets of a board lead to one address.
func newFirmBoard(t *testing.T, m machine, reader, lock func(gateway string) string) *firmBoard {
	t.Helper()
	d := newDoor(t, store.Options{})
	b := &firmBoard{door: d, t: t}
	b.firmware = d.firmware(m, "reader-lock", "front-reader", d.readerKey, reader(d.addr), "")
	b.firmware.ready()
	b.provisionLock(lock(d.addr), d.lockKey.Secret)
	b.bothReady(0)
	return b
}

// provisionLock types the lines of the lock.
func (b *firmBoard) provisionLock(gateway string, secret keys.Secret) {
	b.Tell(strings.Join([]string{"role lock", "device front-lock", "kind lock", "gateway " + gateway,
		"identity " + string(b.lockKey.ID), "secret " + secret.Reveal(), "save"}, "\n"))
}

// bothReady waits until both have registered, since that mark.
func (b *firmBoard) bothReady(mark int) {
	b.t.Helper()
	b.await(mark, 30*time.Second, "log lock: registered")
	b.firmware.ready()
	b.settled()
}

// isOnline tells whether a device of that name is online to the gateway.
func (b *firmBoard) isOnline(name string) bool {
	return slices.ContainsFunc(b.gw.Views(), func(v session.View) bool { return v.Name == name && v.Online })
}

// opens taps until the door opens, and waits until it is shut again.
func (b *firmBoard) opens() {
	b.t.Helper()
	moves := b.Moves()
	eventually(b.t, "the door opens for the next tap", 40*time.Second, func() bool {
		v, err := b.firmware.scan(annsCard)
		return err == nil && v.Verdict == wire.Granted && b.Moves() > moves
	})
	b.shuts()
}

// shuts waits until the door is shut.
func (b *firmBoard) shuts() {
	b.t.Helper()
	eventually(b.t, "the pulse ends by itself", 3*time.Second, func() bool { return !b.State().On })
}

// press opens from inside.
func (b *firmBoard) press(when string) {
	b.t.Helper()
	moves := b.Moves()
	b.Tell("!button 1")
	eventually(b.t, "the exit button opens "+when, time.Second, func() bool { return b.Moves() == moves+1 })
	b.Tell("!button 0")
}

// leaves does so, and waits until the door is shut again.
func (b *firmBoard) leaves(when string) {
	b.t.Helper()
	b.press(when)
	b.shuts()
}

// unlocks has the gateway unlock the door, without the reader.
func (b *firmBoard) unlocks() {
	b.t.Helper()
	var got any
	moves := b.Moves()
	b.ask("test", "POST", "/v1/operate", api.Order{Target: "front-door", Action: "unlock"}, &got)
	eventually(b.t, "the gateway unlocks the door", 2*time.Second, func() bool { return b.Moves() == moves+1 })
	b.shuts()
}

// budget reads the board's memory, if it is counted there. A board of two devices has twice as much
// heap.
func (b *firmBoard) budget(m machine) {
	b.t.Helper()
	if m.emulator == "" {
		return
	}
	mark := b.Mark()
	b.Tell("!stat")
	heap, peak, stack := b.stat(mark)
	held(b.t, "heap", peak, 2*mostHeap)
	held(b.t, "stack", stack, mostStack)
	b.t.Logf("heap %d peak %d, stack %d", heap, peak, stack)
}

// One board that is reader and lock is two devices to the gateway: two keys, two sessions, one
// door.
func TestFirmwareReaderAndLockOnOneBoard(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, m machine) {
		b := newFirmBoard(t, m, direct, direct)
		online := map[string]string{}
		for _, v := range b.gw.Views() {
			if v.Online {
				online[v.Name] = v.Addr
			}
		}
		if len(online) != 2 || online["front-reader"] == online["front-lock"] {
			t.Errorf("got the sessions %v, want one of each device from an address of its own", online)
		}

		b.tap(annsCard, wire.Granted)
		if !b.State().On {
			t.Error("granted, and the lock is off")
		}
		b.shuts()
		b.tap(bobsCard, wire.Denied)
		if got := b.Moves(); got != 1 {
			t.Errorf("the lock went on %d times, want once", got)
		}
		b.leaves("at any time")

		mark := b.Mark()
		b.powerCycle()
		b.bothReady(mark)
		b.tap(annsCard, wire.Granted)
		b.budget(m)
	})
}

// The gateway stops with a goodbye in the middle of a pulse. The relay releases, both devices are
// back soon, and meanwhile the door opens only from inside.
func TestFirmwareBoardWhoseGatewayStops(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, m machine) {
		b := newFirmBoard(t, m, direct, direct)
		mark := b.Mark()
		b.tap(annsCard, wire.Granted)
		b.stop()
		b.await(mark, 3*time.Second, " output 0 0")
		b.await(mark, 3*time.Second, " log session lost")
		b.await(mark, 3*time.Second, " log lock: session lost")
		moves := b.Moves()
		if v, err := b.firmware.scan(annsCard); err == nil || b.Moves() != moves {
			t.Errorf("got %+v without a gateway, and %d pulses more", v, b.Moves()-moves)
		}
		b.leaves("without a gateway")
		mark = b.Mark()
		b.start()
		b.bothReady(mark)
		b.opens()
	})
}

// A gateway that was restarted without a goodbye: both make a new session beside the old one. Here
// both handshakes are under way at the same time, the most that such a board has in memory, and the
// exit button opens meanwhile.
func TestFirmwareBoardRenewsBothSessions(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, m machine) {
		way, r := through(t)
		b := newFirmBoard(t, m, way, func(string) string { return r().Addr() })
		b.opens()
		r().Impair(device.Impairment{Loss: 1})
		b.stop()
		// The answers to both ClientHellos are lost, a hint is not.
		r().Lose(func(dir device.Direction, b []byte) bool {
			return dir == device.Down && b[0] == 22 && !dtls.IsHelloRequest(b)
		})
		mark := b.Mark()
		b.start()
		r().Impair(device.Impairment{})
		b.Tell("!tamper 1") // both have something to say, to a gateway that does not know them
		b.await(mark, 20*time.Second, " log not answered, connecting beside")
		b.await(mark, 20*time.Second, " log lock: not answered, connecting beside")
		b.press("while both sessions are renewed")
		r().Hold(device.Down, 1200*time.Millisecond) // longer than until a ClientHello is sent again
		r().Lose(nil)
		b.await(mark, 20*time.Second, " log session up 2")
		b.await(mark, 20*time.Second, " log lock: session up 2")
		b.await(mark, 20*time.Second, " log registered")
		b.bothReady(mark)
		b.shuts()
		b.opens()
		b.budget(m)
	})
}

// One key is wrong, or is revoked: the device that has it does nothing, and the other one works.
func TestFirmwareBoardWithOneGoodKey(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, m machine) {
		b := newFirmBoard(t, m, direct, direct)
		b.opens()

		mark := b.Mark()
		b.provisionLock(b.addr, b.readerKey.Secret)
		b.await(mark, 10*time.Second, "log lock: connecting 1")
		b.await(mark, 20*time.Second, "log registered")
		moves := b.Moves()
		b.tap(annsCard, wire.Retry)
		b.await(mark, 20*time.Second, "log lock: session lost, error")
		b.tap(annsCard, wire.Retry)
		if b.isOnline("front-lock") || b.Moves() != moves {
			t.Error("a lock with the wrong secret is online, or opened")
		}
		b.leaves("with the wrong secret")
		mark = b.Mark()
		b.provisionLock(b.addr, b.lockKey.Secret)
		b.bothReady(mark)
		b.opens()

		mark = b.Mark()
		b.revoke(b.readerKey)
		b.await(mark, 5*time.Second, "log session lost")
		b.unlocks()
		if v, err := b.firmware.scan(annsCard); err == nil {
			t.Errorf("got %+v with a revoked key", v)
		}
		b.leaves("without a reader")
		b.unlocks()
		if !b.isOnline("front-lock") || b.isOnline("front-reader") {
			t.Error("the lock is offline, or the reader online")
		}
	})
}

// One of the two sessions loses its way to the gateway; the other one goes on. A lock without a way
// opens from inside only.
func TestFirmwareBoardLosesOneSession(t *testing.T) {
	t.Parallel()
	readerWay, readerRelay := through(t)
	lockWay, lockRelay := through(t)
	b := newFirmBoard(t, host, readerWay, lockWay)
	b.opens()

	readerRelay().Impair(device.Impairment{Loss: 1})
	mark := b.Mark()
	if v, err := b.firmware.scan(annsCard); err == nil {
		t.Errorf("got %+v without a way", v)
	}
	b.await(mark, 10*time.Second, "log session lost")
	b.unlocks()
	b.leaves("without a reader")
	readerRelay().Impair(device.Impairment{})
	b.opens()

	lockRelay().Impair(device.Impairment{Loss: 1})
	mark = b.Mark()
	b.tap(annsCard, wire.Retry)
	b.leaves("without a gateway")
	b.await(mark, 60*time.Second, "log lock: session lost")
	b.tap(annsCard, wire.Retry)
	lockRelay().Impair(device.Impairment{})
	b.bothReady(mark)
	b.opens()
}
