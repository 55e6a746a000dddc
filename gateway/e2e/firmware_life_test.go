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

// A card that lies on the reader before there is a session: the scan goes out without an Echo, is
// refused with one, and repeated.
func TestFirmwareRepeatsWhatWasNotFresh(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, m machine) {
		way, relay := through(t)
		d := newFirmDoor(t, m, way, direct)
		mark := d.reader.Mark()
		_, over := relay().Hold(device.Down, 500*time.Millisecond) // of the handshake, so that the card is there first
		if err := d.reader.PowerCycle(t.Context()); err != nil {
			t.Fatal(err)
		}
		d.reader.Tell("!card 04a1b2c3d4e580")
		<-over
		d.reader.await(mark, 10*time.Second, "log not fresh, asked again 1")
		if line := d.reader.await(mark, 10*time.Second, "log verdict",
			"log no verdict"); !strings.Contains(line, "log verdict granted") {
			t.Errorf("got %q, want granted", line)
		}
		d.closed(1)
		if n := len(d.timelines()); n != 1 {
			t.Errorf("got %d decisions for one tap", n)
		}
	})
}

// Nodes that come from another port keep their sessions, in both directions.
func TestFirmwareMovesWithItsConnectionID(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, m machine) {
		readerWay, readerRelay := through(t)
		lockWay, lockRelay := through(t)
		d := newFirmDoor(t, m, readerWay, lockWay)
		d.works()
		for i := range 2 {
			d.reader.Tell("!rebind")
			d.lock.Tell("!rebind\n!contact 1")
			eventually(t, "the lock speaks from another port", 5*time.Second,
				func() bool { return lockRelay().Flows() == i+2 })
			d.lock.Tell("!contact 0")
			d.works()
			if got := readerRelay().Flows(); got != i+2 {
				t.Errorf("the reader spoke from %d ports, want %d", got, i+2)
			}
		}
		if r, l := d.reader.Sessions(), d.lock.Sessions(); r != 1 || l != 1 {
			t.Errorf("got %d and %d handshakes, want one each", r, l)
		}
	})
}

// A battery reader wakes with its association: no handshake, one scan that is not fresh and its
// repeat.
func TestFirmwareWakesWithoutAHandshake(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, m machine) {
		d := newFirmDoor(t, m, nil, direct)
		r := d.firmware(m, "reader-battery", "front-reader", d.readerKey, d.addr, "")
		if m == lx106 {
			held(t, "handshake", r.spent(0, " log connecting", " log session up"), mostHandshake)
		}
		asleep := regexp.MustCompile(`asleep, bytes kept (\d+)`)
		for i := range 3 {
			mark := r.Mark()
			line := r.await(mark, 60*time.Second, "log asleep")
			n, err := strconv.Atoi(asleep.FindStringSubmatch(line)[1])
			if err != nil || n == 0 || n > mostSaved {
				t.Fatalf("got %q, want an association of at most %d bytes", line, mostSaved)
			}
			if m == lx106 {
				_, peak, stack := r.memory(mark)
				t.Logf("before sleep %d: heap at most %d, stack %d, association %d", i+1, peak, stack, n)
			}
			if err := r.Wake(t.Context()); err != nil {
				t.Fatal(err)
			}
			mark = r.Mark()
			r.tap(annsCard, wire.Granted)
			line = r.await(mark, time.Second, "log verdict")
			if n := len(d.timelines()); n != i+1 || !strings.HasSuffix(line, " "+strconv.Itoa(i+1)) {
				t.Errorf("got %q after %d decisions, want counter %d: nothing skipped", line, n, i+1)
			}
		}
		if got := r.Sessions(); got != 1 {
			t.Errorf("got %d handshakes, want one", got)
		}
		eventually(t, "the last pulse is over", 3*time.Second, func() bool { return !d.lock.State().On })

		// A power cut while it is awake: what was saved is used up, and nothing of it is used
		// again.
		r.await(r.Mark(), 60*time.Second, "log asleep")
		if err := r.Wake(t.Context()); err != nil {
			t.Fatal(err)
		}
		mark := r.Mark()
		r.await(mark, 10*time.Second, "log session resumed")
		if err := r.PowerCycle(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.await(mark, 20*time.Second, "log session up")
		if got := r.Sessions(); got != 2 {
			t.Errorf("got %d handshakes, want two", got)
		}

		// The gateway has lost the association while the reader slept: the same tap makes a
		// handshake and still gets its verdict.
		r.await(mark, 60*time.Second, "log asleep")
		d.lock.Close()
		d.stop()
		d.start()
		d.lock = d.firmware(m, "lock", "front-lock", d.lockKey, d.addr, "")
		d.lock.ready()
		d.settled()
		if err := r.Wake(t.Context()); err != nil {
			t.Fatal(err)
		}
		mark = r.Mark()
		r.tap(annsCard, wire.Granted)
		r.await(mark, time.Second, "log not answered, connecting beside",
			"log resumed session is not answered")
		if got := r.Sessions(); got != 3 {
			t.Errorf("got %d handshakes, want three", got)
		}
	})
}

// The gateway stops in the middle of a pulse: the relay lets go. When it is back so are the nodes.
func TestFirmwareGatewayRestarts(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, m machine) {
		d := newFirmDoor(t, m, direct, direct)
		d.reader.tap(annsCard, wire.Granted)
		mark := d.lock.Mark()
		d.stop()
		d.lock.await(mark, 3*time.Second, "output 0 0")
		if d.lock.State().On {
			t.Error("without a gateway the relay is on")
		}
		if v, err := d.reader.scan(annsCard); err == nil {
			t.Errorf("got %+v without a gateway", v)
		}
		d.start()
		d.works()
	})
}

// The gateway loses its power: nobody says goodbye, and its port is silent for a while.
func TestFirmwareGatewayIsKilled(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, m machine) {
		readerWay, readerRelay := through(t)
		lockWay, lockRelay := through(t)
		d := newFirmDoor(t, m, readerWay, lockWay)
		d.works()
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
		d.works()
		if got := d.lock.Sessions(); got != 2 {
			t.Errorf("got %d handshakes of the lock, want two", got)
		}
		if m == lx106 { // it had two associations for a while
			mark := d.lock.Mark()
			d.lock.Tell("!stat")
			heap, peak, stack := d.lock.memory(mark)
			t.Logf("heap %d, at most %d, stack %d", heap, peak, stack)
		}
	})
}

// Without memory for a handshake a node says so, frees everything, and connects again when there is
// memory.
func TestFirmwareOutOfMemory(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, m machine) {
		d := newFirmDoor(t, m, direct, direct)
		for _, limit := range []string{"!oom 300", "!oom 2600"} {
			mark := d.reader.Mark()
			d.stop()
			d.reader.await(mark, 5*time.Second, "log session lost")
			mark = d.reader.Mark()
			d.reader.Tell(limit)
			d.start()
			d.reader.await(mark, 30*time.Second, "log session lost")
			d.reader.Tell("!stat")
			if line := d.reader.await(mark, 5*time.Second, " stat "); !strings.Contains(line, " heap=0 ") {
				t.Errorf("%s: got %q, want nothing kept", limit, line)
			}
			d.reader.Tell("!oom 0")
			d.reader.ready()
		}
		d.works()
	})
}

// A loop that hangs in the middle of a pulse: the relay lets go in time, and the watchdog starts
// the node anew.
func TestFirmwareHangs(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, m machine) {
		d := newFirmDoor(t, m, direct, direct)
		mark := d.lock.Mark()
		d.reader.tap(annsCard, wire.Granted)
		d.lock.Tell("!hang")
		if line := d.lock.await(mark, 3*time.Second, "output 0 0", "reset watchdog"); !strings.Contains(line,
			"output 0 0") {
			t.Errorf("got %q, want the relay to let go by its own timer, before the watchdog", line)
		}
		d.lock.await(mark, 10*time.Second, "reset watchdog")
		d.lock.await(mark, 10*time.Second, "started for reason 2")
		d.settled()
		d.works()
	})
}

// A card reader that goes deaf, that dies, and that comes back.
func TestFirmwareCardReaderFails(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, m machine) {
		d := newFirmDoor(t, m, direct, direct)
		d.works()
		mark := d.reader.Mark()
		d.reader.Tell("!chip dead")
		d.reader.await(mark, 30*time.Second, "log card reader chip does not answer")
		d.reader.Tell("!chip ok")
		d.works()
	})
}

// A counter that was lost is put right within the tap.
func TestFirmwareForgetsItsCounter(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, m machine) {
		d := newFirmDoor(t, m, direct, direct)
		for range 2 {
			d.works()
		}
		if err := os.Remove(d.reader.dir + "/kv/counter"); err != nil {
			t.Fatal(err)
		}
		d.reader.powerCycle()
		mark := d.reader.Mark()
		d.reader.tap(annsCard, wire.Granted)
		d.reader.await(mark, time.Second, "log counter was behind, now after 2")
		d.reader.await(mark, time.Second, "log verdict granted 3")

		d.reader.powerCycle() // the block of 1…64 is reserved: what is left of it is skipped
		mark = d.reader.Mark()
		d.reader.tap(annsCard, wire.Granted)
		d.reader.await(mark, time.Second, "log verdict granted 65")
	})
}

// An unaligned load traps on the chip: the relay is off and the node starts anew.
func TestFirmwareUnalignedAccessTraps(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	l := d.firmware(lx106, "lock", "front-lock", d.lockKey, d.addr, "")
	l.ready()
	mark := l.Mark()
	l.dies = true
	l.Tell("!unaligned")
	l.await(mark, 5*time.Second, " fault 9 ")
	eventually(t, "the program has ended", 5*time.Second, func() bool { return l.Err() != nil })
	if err := l.Err(); !strings.Contains(err.Error(), "exit status 99") {
		t.Errorf("got %v, want exit status 99", err)
	}
	again := d.firmwareIn(l.dir, lx106, "lock", "front-lock", d.lockKey, d.addr, "")
	again.await(again.Mark(), 10*time.Second, "started for reason 2")
}
