//go:build firmware

package e2e

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/coapres/device"
	"latchkey/coapres/wire"
	"latchkey/gateway/audit"
)

// newRelayWay returns a way to the gateway through a relay. r returns the relay, once way was
// called.
func newRelayWay(t *testing.T) (way func(string) string, r func() *device.Relay) {
	var made *device.Relay
	return func(gateway string) string {
		made = newRelay(t, gateway)
		return made.Addr()
	}, func() *device.Relay { return made }
}

// A scan that an attacker delays, with all its retransmissions, opens no door, neither then nor
// later.
func TestFirmwareScanHeldBackOpensNothing(t *testing.T) {
	t.Parallel()
	onEachMachine(t, func(t *testing.T, m machine) {
		way, r := newRelayWay(t)
		d := newFirmDoor(t, m, way, directWay)
		_, released := r().Hold(device.Up, holdTime)
		if v, err := d.reader.scan(annsCard); !errors.Is(err, device.ErrNoVerdict) {
			t.Fatalf("got %+v, %v, want no verdict", v, err)
		}
		<-released
		d.wantClosed(0)
		if tl := d.listTimelines(); len(tl) != 0 {
			t.Fatalf("got decisions %+v, want none", tl)
		}
		d.tapUntilOpen()
	})
}

// An attacker delays one copy of a scan but not its retransmissions. The door opens once: the
// delayed copy has no effect.
func TestFirmwareScanHeldBackOpensOnce(t *testing.T) {
	t.Parallel()
	onEachMachine(t, func(t *testing.T, m machine) {
		way, r := newRelayWay(t)
		d := newFirmDoor(t, m, way, directWay)
		started, released := r().HoldOne(device.Up, holdTime)
		d.reader.wantVerdict(annsCard, wire.Granted)
		select {
		case <-started:
		default:
			t.Fatal("no datagram was delayed")
		}
		<-released
		d.wantClosed(1)
		if n := len(d.listTimelines()); n != 1 {
			t.Errorf("got %d decisions, want 1", n)
		}
	})
}

// A command that an attacker delays, with all its retransmissions, never moves the relay: the lock
// answers it with 4.01.
func TestFirmwareCommandHeldBackOpensNothing(t *testing.T) {
	t.Parallel()
	onEachMachine(t, func(t *testing.T, m machine) {
		way, r := newRelayWay(t)
		d := newFirmDoor(t, m, directWay, way)
		mark := d.lock.Mark()
		_, released := r().Hold(device.Down, holdTime)
		if v, err := d.reader.scan(annsCard); err != nil || v.Verdict != wire.Retry {
			t.Fatalf("got %+v, %v, want retry", v, err)
		}
		<-released
		d.lock.awaitLine(mark, 5*time.Second, "log command not fresh")
		d.wantClosed(0)
		if got := d.listTimelines()[0].Outcome; got != audit.OutcomeUnknown {
			t.Errorf("got outcome %q, want unknown", got)
		}
		d.tapUntilOpen()
	})
}

// An attacker delays one copy of a command but not its retransmissions. The door opens once.
func TestFirmwareCommandHeldBackOpensOnce(t *testing.T) {
	t.Parallel()
	onEachMachine(t, func(t *testing.T, m machine) {
		way, r := newRelayWay(t)
		d := newFirmDoor(t, m, directWay, way)
		mark := d.lock.Mark()
		started, released := r().HoldOne(device.Down, holdTime)
		d.reader.wantVerdict(annsCard, wire.Granted)
		select {
		case <-started:
		default:
			t.Fatal("no datagram was delayed")
		}
		d.lock.awaitLine(mark, time.Second, "log command done")
		<-released
		d.wantClosed(1)
	})
}

// The attacker replays captured datagrams in both directions, in the same session and in the next
// one.
func TestFirmwareReplayOpensNothing(t *testing.T) {
	t.Parallel()
	onEachMachine(t, func(t *testing.T, m machine) {
		readerWay, readerRelay := newRelayWay(t)
		lockWay, lockRelay := newRelayWay(t)
		d := newFirmDoor(t, m, readerWay, lockWay)
		up, down := recordDatagrams(readerRelay(), device.Up), recordDatagrams(lockRelay(), device.Down)
		d.tapUntilOpen()
		for range 2 {
			for _, b := range up() {
				readerRelay().Inject(device.Up, b)
			}
			for _, b := range down() {
				lockRelay().Inject(device.Down, b)
			}
			moves := d.lock.Moves()
			d.wantClosed(moves)
			if n := len(d.listTimelines()); n != moves {
				t.Fatalf("got %d decisions for %d taps", n, moves)
			}
			d.reader.powerCycle()
			d.lock.powerCycle()
			d.awaitLockState()
			d.tapUntilOpen()
		}
	})
}

// Forged plaintext datagrams end no session and make no handshake fail.
func TestFirmwareForgedRecordsAreIgnored(t *testing.T) {
	t.Parallel()
	forged := [][]byte{
		plaintextRecord(21, 0, []byte{2, 40}), // a fatal alert
		plaintextRecord(21, 0, []byte{1, 0}),  // a close_notify
		plaintextRecord(21, 1, []byte{2, 40}), // the same alert with the session's epoch
		plaintextRecord(23, 0, []byte("open")),
		plaintextRecord(22, 0, make([]byte, 12)), // a HelloRequest
		plaintextRecord(20, 0, []byte{1}),
		append(plaintextRecord(22, 0, make([]byte, 12)), plaintextRecord(21, 0, []byte{2, 40})...),
		{}, {21}, make([]byte, 13), []byte(strings.Repeat("\xff", 600)),
	}
	onEachMachine(t, func(t *testing.T, m machine) {
		way, r := newRelayWay(t)
		d := newFirmDoor(t, m, directWay, way)
		for _, b := range forged {
			r().Inject(device.Down, b)
		}
		d.tapUntilOpen()
		if got := d.lock.Sessions(); got != 1 {
			t.Errorf("got %d sessions, want one", got)
		}
		// In the next handshake, forged records follow each datagram to the node.
		r().Tap(func(dir device.Direction, _ []byte) {
			if dir == device.Down {
				for _, b := range forged[:4] {
					r().Inject(device.Down, b)
				}
			}
		})
		mark := d.lock.Mark()
		d.lock.powerCycle()
		d.lock.awaitLine(mark, 10*time.Second, "log registered")
		if got := d.lock.Sessions(); got != 2 {
			t.Errorf("got %d sessions, want two: the forged records ended none", got)
		}
		d.tapUntilOpen()
	})
}

// recordDatagrams records the datagrams of one direction from now on. The function that it returns
// returns them.
func recordDatagrams(r *device.Relay, way device.Direction) func() [][]byte {
	var mu sync.Mutex
	var all [][]byte
	r.Tap(func(dir device.Direction, b []byte) {
		mu.Lock()
		defer mu.Unlock()
		if dir == way {
			all = append(all, bytes.Clone(b))
		}
	})
	return func() [][]byte {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(all)
	}
}

// plaintextRecord makes an unencrypted record, with a forged epoch if epoch is not 0.
func plaintextRecord(typ, epoch byte, b []byte) []byte {
	return append([]byte{typ, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, 99, byte(len(b) >> 8), byte(len(b))}, b...)
}

// With a wrong key the gateway does not answer. The node gives up after a while and tries again,
// and the doctor says why.
func TestFirmwareWithTheWrongKey(t *testing.T) {
	t.Parallel()
	onEachMachine(t, func(t *testing.T, m machine) {
		d := newFirmDoor(t, m, nil, nil)
		wrong := d.readerKey
		wrong.Secret = d.lockKey.Secret
		r := d.runFirmware(m, "reader", "front-reader", wrong, d.addr, "")
		mark := r.Mark()
		r.awaitLine(mark, 10*time.Second, "log connecting")
		began := time.Now()
		r.awaitLine(mark, 30*time.Second, "log session lost")
		if took := time.Since(began); took < 10*time.Second || took > time.Minute {
			t.Errorf("the node gave up after %v, want about 15 s", took)
		}
		r.awaitLine(mark, 10*time.Second, "log connecting 1") // and the next try
		if r.Sessions() != 0 {
			t.Error("the wrong key opened a session")
		}
		eventually(t, "the doctor says wrong key", 30*time.Second, func() bool {
			_, found := d.diagnose("front-reader")
			return strings.Contains(found, "front-reader wrong-key")
		})
	})
}

// The network loses, duplicates and reorders datagrams. Doors still open, and no tap opens one
// twice.
func TestFirmwareOnABadNetwork(t *testing.T) {
	t.Parallel()
	onEachMachine(t, func(t *testing.T, m machine) {
		readerWay, readerRelay := newRelayWay(t)
		lockWay, lockRelay := newRelayWay(t)
		d := newFirmDoor(t, m, readerWay, lockWay)
		bad := device.Impairment{Loss: 0.1, Duplicate: 0.1, Reorder: 0.1}
		readerRelay().Impair(bad)
		lockRelay().Impair(bad)
		granted := 0
		const taps = 20
		for range taps {
			if v, err := d.reader.scan(annsCard); err == nil && v.Verdict == wire.Granted {
				granted++
			}
		}
		if granted < taps*8/10 {
			t.Errorf("%d of %d taps granted", granted, taps)
		}
		t.Logf("%d of %d taps granted", granted, taps)
		seen := map[uint64]int{}
		for _, ev := range d.listEvents() {
			if ev.Kind == audit.EventDecision {
				if seen[ev.Counter]++; seen[ev.Counter] > 1 {
					t.Errorf("counter %d decided twice", ev.Counter)
				}
			}
		}
	})
}
