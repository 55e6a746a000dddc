//go:build firmware

package e2e

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"latchkey/coapres/device"
	"latchkey/coapres/wire"
	"latchkey/gateway/session"
	"latchkey/gateway/store"
)

// A card lies on the reader before there is a session. The reader sends the scan without an Echo,
// gets a refusal with one, and repeats the scan.
func TestFirmwareRepeatsAScanThatWasNotFresh(t *testing.T) {
	t.Parallel()
	onEachMachine(t, func(t *testing.T, m machine) {
		way, relay := newRelayWay(t)
		d := newFirmDoor(t, m, way, directWay)
		mark := d.reader.Mark()
		// The delay of the handshake lets the card come first.
		_, released := relay().Hold(device.Down, 500*time.Millisecond)
		if err := d.reader.PowerCycle(t.Context()); err != nil {
			t.Fatal(err)
		}
		d.reader.Tell("!card 04a1b2c3d4e580")
		<-released
		d.reader.awaitLine(mark, 10*time.Second, "log not fresh, asked again 1")
		if line := d.reader.awaitLine(mark, 10*time.Second, "log verdict",
			"log no verdict"); !strings.Contains(line, "log verdict granted") {
			t.Errorf("got %q, want granted", line)
		}
		d.wantClosed(1)
		if n := len(d.listTimelines()); n != 1 {
			t.Errorf("got %d decisions for one tap, want one", n)
		}
	})
}

// Nodes whose port changes keep their sessions, and both directions still work.
func TestFirmwareMovesWithItsConnectionID(t *testing.T) {
	t.Parallel()
	onEachMachine(t, func(t *testing.T, m machine) {
		readerWay, readerRelay := newRelayWay(t)
		lockWay, lockRelay := newRelayWay(t)
		d := newFirmDoor(t, m, readerWay, lockWay)
		d.tapUntilOpen()
		for i := range 2 {
			d.reader.Tell("!rebind")
			d.lock.Tell("!rebind\n!contact 1")
			eventually(t, "the lock speaks from another port", 5*time.Second,
				func() bool { return lockRelay().Flows() == i+2 })
			d.lock.Tell("!contact 0")
			d.tapUntilOpen()
			if got := readerRelay().Flows(); got != i+2 {
				t.Errorf("the reader spoke from %d ports, want %d", got, i+2)
			}
		}
		if r, l := d.reader.Sessions(), d.lock.Sessions(); r != 1 || l != 1 {
			t.Errorf("got %d and %d handshakes, want one each", r, l)
		}
	})
}

// A battery reader wakes with the association that it saved: without a handshake, it sends a scan
// that is refused as not fresh, and repeats it.
func TestFirmwareWakesWithoutAHandshake(t *testing.T) {
	t.Parallel()
	onEachMachine(t, func(t *testing.T, m machine) {
		d := newFirmDoor(t, m, nil, directWay)
		r := d.runFirmware(m, "reader-battery", "front-reader", d.readerKey, d.addr, "")
		if m == lx106 {
			checkAtMost(t, "handshake", r.countInstructions(0, " log connecting", " log session up"),
				mostHandshake)
		}
		asleep := regexp.MustCompile(`asleep, bytes kept (\d+)`)
		for i := range 3 {
			mark := r.Mark()
			line := r.awaitLine(mark, 60*time.Second, "log asleep")
			n, err := strconv.Atoi(asleep.FindStringSubmatch(line)[1])
			if err != nil || n == 0 || n > mostSaved {
				t.Fatalf("got %q, want an association of at most %d bytes", line, mostSaved)
			}
			if m == lx106 {
				_, peak, stack := r.checkMemory(mark)
				t.Logf("before sleep %d: heap at most %d, stack %d, association %d", i+1, peak, stack, n)
			}
			if err := r.Wake(t.Context()); err != nil {
				t.Fatal(err)
			}
			mark = r.Mark()
			r.wantVerdict(annsCard, wire.Granted)
			line = r.awaitLine(mark, time.Second, "log verdict")
			if n := len(d.listTimelines()); n != i+1 || !strings.HasSuffix(line, " "+strconv.Itoa(i+1)) {
				t.Errorf("got %q after %d decisions, want the counter %d, without a gap", line, n, i+1)
			}
		}
		if got := r.Sessions(); got != 1 {
			t.Errorf("got %d handshakes, want one", got)
		}
		eventually(t, "the last pulse is over", 3*time.Second, func() bool { return !d.lock.State().On })

		// The power fails while the reader is awake. The saved association must not be used a
		// second time, so the reader makes a handshake.
		r.awaitLine(r.Mark(), 60*time.Second, "log asleep")
		if err := r.Wake(t.Context()); err != nil {
			t.Fatal(err)
		}
		mark := r.Mark()
		r.awaitLine(mark, 10*time.Second, "log session resumed")
		if err := r.PowerCycle(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.awaitLine(mark, 20*time.Second, "log session up")
		if got := r.Sessions(); got != 2 {
			t.Errorf("got %d handshakes, want two", got)
		}

		// The gateway has lost the association while the reader slept. The tap still gets its
		// verdict, after a new handshake.
		r.awaitLine(mark, 60*time.Second, "log asleep")
		d.lock.Close()
		d.stop()
		d.start()
		d.lock = d.runFirmware(m, "lock", "front-lock", d.lockKey, d.addr, "")
		d.lock.waitUntilReady()
		d.awaitLockState()
		if err := r.Wake(t.Context()); err != nil {
			t.Fatal(err)
		}
		mark = r.Mark()
		r.wantVerdict(annsCard, wire.Granted)
		r.awaitLine(mark, time.Second, "log not answered, connecting beside",
			"log resumed session is not answered")
		if got := r.Sessions(); got != 3 {
			t.Errorf("got %d handshakes, want three", got)
		}
	})
}

// The gateway stops in the middle of a pulse. The relay switches off, and the nodes reconnect when
// the gateway is back.
func TestFirmwareGatewayRestarts(t *testing.T) {
	t.Parallel()
	onEachMachine(t, func(t *testing.T, m machine) {
		d := newFirmDoor(t, m, directWay, directWay)
		d.reader.wantVerdict(annsCard, wire.Granted)
		mark := d.lock.Mark()
		d.stop()
		d.lock.awaitLine(mark, 3*time.Second, "output 0 0")
		if d.lock.State().On {
			t.Error("the relay is on without a gateway")
		}
		if v, err := d.reader.scan(annsCard); err == nil {
			t.Errorf("got %+v without a gateway, want no verdict", v)
		}
		d.start()
		d.tapUntilOpen()
	})
}

// The gateway loses its power: it sends no close_notify, and its port is silent for a while.
func TestFirmwareGatewayIsKilled(t *testing.T) {
	t.Parallel()
	onEachMachine(t, func(t *testing.T, m machine) {
		readerWay, readerRelay := newRelayWay(t)
		lockWay, lockRelay := newRelayWay(t)
		d := newFirmDoor(t, m, readerWay, lockWay)
		d.tapUntilOpen()
		for _, r := range []*device.Relay{readerRelay(), lockRelay()} {
			r.Impair(device.Impairment{Loss: 1})
		}
		d.stop()
		d.start()
		for _, r := range []*device.Relay{readerRelay(), lockRelay()} {
			r.Impair(device.Impairment{})
		}
		began := time.Now()
		eventually(t, "the lock is back", time.Minute, func() bool {
			return slices.ContainsFunc(d.gw.Views(),
				func(v session.View) bool { return v.Name == "front-lock" && v.Online && v.Known })
		})
		t.Logf("the lock was back after %v", time.Since(began))
		d.tapUntilOpen()
		if got := d.lock.Sessions(); got != 2 {
			t.Errorf("the lock made %d handshakes, want two", got)
		}
		if m == lx106 { // the lock had two associations for a while
			mark := d.lock.Mark()
			d.lock.Tell("!stat")
			heap, peak, stack := d.lock.checkMemory(mark)
			t.Logf("heap %d, at most %d, stack %d", heap, peak, stack)
		}
	})
}

// A node that has too little memory for a handshake logs it, frees all of it, and connects once
// there is enough.
func TestFirmwareOutOfMemory(t *testing.T) {
	t.Parallel()
	onEachMachine(t, func(t *testing.T, m machine) {
		d := newFirmDoor(t, m, directWay, directWay)
		for _, limit := range []string{"!oom 300", "!oom 2600"} {
			mark := d.reader.Mark()
			d.stop()
			d.reader.awaitLine(mark, 5*time.Second, "log session lost")
			mark = d.reader.Mark()
			d.reader.Tell(limit)
			d.start()
			d.reader.awaitLine(mark, 30*time.Second, "log session lost")
			d.reader.Tell("!stat")
			line := d.reader.awaitLine(mark, 5*time.Second, " stat ")
			if !strings.Contains(line, " heap=0 ") {
				t.Errorf("%s: got %q, want an empty heap", limit, line)
			}
			d.reader.Tell("!oom 0")
			d.reader.waitUntilReady()
		}
		d.tapUntilOpen()
	})
}

// The main loop hangs in the middle of a pulse. A timer switches the relay off in time, and the
// watchdog restarts the node.
func TestFirmwareHangs(t *testing.T) {
	t.Parallel()
	onEachMachine(t, func(t *testing.T, m machine) {
		d := newFirmDoor(t, m, directWay, directWay)
		mark := d.lock.Mark()
		d.reader.wantVerdict(annsCard, wire.Granted)
		d.lock.Tell("!hang")
		line := d.lock.awaitLine(mark, 3*time.Second, "output 0 0", "reset watchdog")
		if !strings.Contains(line, "output 0 0") {
			t.Errorf("got %q, want the timer to switch the relay off before the watchdog", line)
		}
		d.lock.awaitLine(mark, 10*time.Second, "reset watchdog")
		d.lock.awaitLine(mark, 10*time.Second, "started for reason 2")
		d.awaitLockState()
		d.tapUntilOpen()
	})
}

// The card reader's chip stops answering, and later works again.
func TestFirmwareCardReaderFails(t *testing.T) {
	t.Parallel()
	onEachMachine(t, func(t *testing.T, m machine) {
		d := newFirmDoor(t, m, directWay, directWay)
		d.tapUntilOpen()
		mark := d.reader.Mark()
		d.reader.Tell("!chip dead")
		d.reader.awaitLine(mark, 30*time.Second, "log card reader chip does not answer")
		d.reader.Tell("!chip ok")
		d.tapUntilOpen()
	})
}

// A reader that lost its counter gets the right one within the same tap.
func TestFirmwareForgetsItsCounter(t *testing.T) {
	t.Parallel()
	onEachMachine(t, func(t *testing.T, m machine) {
		d := newFirmDoor(t, m, directWay, directWay)
		for range 2 {
			d.tapUntilOpen()
		}
		if err := os.Remove(d.reader.dir + "/kv/counter"); err != nil {
			t.Fatal(err)
		}
		d.reader.powerCycle()
		mark := d.reader.Mark()
		d.reader.wantVerdict(annsCard, wire.Granted)
		d.reader.awaitLine(mark, time.Second, "log counter was behind, now after 2")
		d.reader.awaitLine(mark, time.Second, "log verdict granted 3")

		d.reader.powerCycle() // the counters 1…64 are reserved, and a restart skips those that were not used
		mark = d.reader.Mark()
		d.reader.wantVerdict(annsCard, wire.Granted)
		d.reader.awaitLine(mark, time.Second, "log verdict granted 65")
	})
}

// An unaligned load traps on the chip: the relay is off and the node restarts.
func TestFirmwareUnalignedAccessTraps(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	l := d.runFirmware(lx106, "lock", "front-lock", d.lockKey, d.addr, "")
	l.waitUntilReady()
	mark := l.Mark()
	l.mayDie = true
	l.Tell("!unaligned")
	l.awaitLine(mark, 5*time.Second, " fault 9 ")
	eventually(t, "the program has ended", 5*time.Second, func() bool { return l.Err() != nil })
	if err := l.Err(); !strings.Contains(err.Error(), "exit status 99") {
		t.Errorf("got %v, want exit status 99", err)
	}
	again := d.runFirmwareIn(l.dir, lx106, "lock", "front-lock", d.lockKey, d.addr, "")
	again.awaitLine(again.Mark(), 10*time.Second, "started for reason 2")
}
