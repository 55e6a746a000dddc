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

// through returns a way to the gateway that leads through a relay, and the relay once it was asked
// for.
func through(t *testing.T) (way func(string) string, r func() *device.Relay) {
	var made *device.Relay
	return func(gateway string) string {
		made = relay(t, gateway)
		return made.Addr()
	}, func() *device.Relay { return made }
}

// A scan that an attacker holds back with all its repeats opens nothing, then or later.
func TestFirmwareScanHeldBackOpensNothing(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, m machine) {
		way, r := through(t)
		d := newFirmDoor(t, m, way, direct)
		_, over := r().Hold(device.Up, heldBack)
		if v, err := d.reader.scan(annsCard); !errors.Is(err, device.ErrNoVerdict) {
			t.Fatalf("got %+v, %v, want no verdict", v, err)
		}
		<-over
		d.closed(0)
		if tl := d.timelines(); len(tl) != 0 {
			t.Fatalf("got decisions %+v, want none", tl)
		}
		d.works()
	})
}

// A scan that is held back alone, while its repeats go by, opens once: when it is let go it opens
// nothing.
func TestFirmwareScanHeldBackOpensOnce(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, m machine) {
		way, r := through(t)
		d := newFirmDoor(t, m, way, direct)
		started, over := r().HoldOne(device.Up, heldBack)
		d.reader.tap(annsCard, wire.Granted)
		select {
		case <-started:
		default:
			t.Fatal("nothing was held back")
		}
		<-over
		d.closed(1)
		if n := len(d.timelines()); n != 1 {
			t.Errorf("got %d decisions, want 1", n)
		}
	})
}

// A command that is held back with all its repeats never moves the relay: the lock answers it with
// 4.01.
func TestFirmwareCommandHeldBackOpensNothing(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, m machine) {
		way, r := through(t)
		d := newFirmDoor(t, m, direct, way)
		mark := d.lock.Mark()
		_, over := r().Hold(device.Down, heldBack)
		if v, err := d.reader.scan(annsCard); err != nil || v.Verdict != wire.Retry {
			t.Fatalf("got %+v, %v, want retry", v, err)
		}
		<-over
		d.lock.await(mark, 5*time.Second, "log command not fresh")
		d.closed(0)
		if got := d.timelines()[0].Outcome; got != audit.OutcomeUnknown {
			t.Errorf("got outcome %q, want unknown", got)
		}
		d.works()
	})
}

// A command that is held back alone, while its repeats go by, opens once.
func TestFirmwareCommandHeldBackOpensOnce(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, m machine) {
		way, r := through(t)
		d := newFirmDoor(t, m, direct, way)
		mark := d.lock.Mark()
		started, over := r().HoldOne(device.Down, heldBack)
		d.reader.tap(annsCard, wire.Granted)
		select {
		case <-started:
		default:
			t.Fatal("nothing was held back")
		}
		d.lock.await(mark, time.Second, "log command done")
		<-over
		d.closed(1)
	})
}

// The attacker sends captured datagrams again, in the same session and in the next, in both
// directions.
func TestFirmwareReplayOpensNothing(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, m machine) {
		readerWay, readerRelay := through(t)
		lockWay, lockRelay := through(t)
		d := newFirmDoor(t, m, readerWay, lockWay)
		up, down := recorded(readerRelay(), device.Up), recorded(lockRelay(), device.Down)
		d.works()
		for range 2 {
			for _, b := range up() {
				readerRelay().Inject(device.Up, b)
			}
			for _, b := range down() {
				lockRelay().Inject(device.Down, b)
			}
			moves := d.lock.Moves()
			d.closed(moves)
			if n := len(d.timelines()); n != moves {
				t.Fatalf("got %d decisions for %d taps", n, moves)
			}
			d.reader.powerCycle()
			d.lock.powerCycle()
			d.settled()
			d.works()
		}
	})
}

// Datagrams in the clear, as anybody can forge them, end no session and spoil no handshake.
func TestFirmwareForgedRecordsAreIgnored(t *testing.T) {
	t.Parallel()
	forged := [][]byte{
		inTheClear(21, 0, []byte{2, 40}), // a fatal alert
		inTheClear(21, 0, []byte{1, 0}),  // a goodbye
		inTheClear(21, 1, []byte{2, 40}), // the same as if they were of the session
		inTheClear(23, 0, []byte("open")),
		inTheClear(22, 0, make([]byte, 12)), // a HelloRequest
		inTheClear(20, 0, []byte{1}),
		append(inTheClear(22, 0, make([]byte, 12)), inTheClear(21, 0, []byte{2, 40})...),
		{}, {21}, make([]byte, 13), []byte(strings.Repeat("\xff", 600)),
	}
	onEach(t, func(t *testing.T, m machine) {
		way, r := through(t)
		d := newFirmDoor(t, m, direct, way)
		for _, b := range forged {
			r().Inject(device.Down, b)
		}
		d.works()
		if got := d.lock.Sessions(); got != 1 {
			t.Errorf("got %d sessions, want one", got)
		}
		r().Tap(func(dir device.Direction, _ []byte) { // and with each datagram of the next handshake
			if dir == device.Down {
				for _, b := range forged[:4] {
					r().Inject(device.Down, b)
				}
			}
		})
		mark := d.lock.Mark()
		d.lock.powerCycle()
		d.lock.await(mark, 10*time.Second, "log registered")
		if got := d.lock.Sessions(); got != 2 {
			t.Errorf("got %d sessions, want two: the forgery cost none", got)
		}
		d.works()
	})
}

// recorded keeps what goes one way from now on, and returns what did.
func recorded(r *device.Relay, way device.Direction) func() [][]byte {
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

// inTheClear is an unencrypted record, or one with a forged epoch.
func inTheClear(typ, epoch byte, b []byte) []byte {
	return append([]byte{typ, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, 99, byte(len(b) >> 8), byte(len(b))}, b...)
}

// A wrong key: the gateway is silent, the node gives up after a while and tries again, and doctor
// says why.
func TestFirmwareWithTheWrongKey(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, m machine) {
		d := newFirmDoor(t, m, nil, nil)
		wrong := d.readerKey
		wrong.Secret = d.lockKey.Secret
		r := d.firmware(m, "reader", "front-reader", wrong, d.addr, "")
		mark := r.Mark()
		r.await(mark, 10*time.Second, "log connecting")
		began := time.Now()
		r.await(mark, 30*time.Second, "log session lost")
		if took := time.Since(began); took < 10*time.Second || took > time.Minute {
			t.Errorf("it gave up after %v, want about 15 s", took)
		}
		r.await(mark, 10*time.Second, "log connecting 1") // and the next try
		if r.Sessions() != 0 {
			t.Error("a session with the wrong key")
		}
		eventually(t, "doctor says wrong key", 30*time.Second, func() bool {
			_, found := d.diagnose("front-reader")
			return strings.Contains(found, "front-reader wrong-key")
		})
	})
}

// The network loses, duplicates and reorders datagrams: doors open, and none opens twice for one
// tap.
func TestFirmwareOnABadNetwork(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, m machine) {
		readerWay, readerRelay := through(t)
		lockWay, lockRelay := through(t)
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
		for _, ev := range d.events() {
			if ev.Kind == audit.EventDecision {
				if seen[ev.Counter]++; seen[ev.Counter] > 1 {
					t.Errorf("counter %d decided twice", ev.Counter)
				}
			}
		}
	})
}
