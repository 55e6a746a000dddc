//go:build firmware

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/coapres/device"
	"latchkey/coapres/wire"
	"latchkey/gateway/store"
	"latchkey/keys"
)

// machine is what the firmware runs on in a test: this host, with or without sanitizers, or an
// emulator of the ESP8266's instruction set.
type machine struct {
	name     string
	emulator string // its path; empty: none
	image    string // path of the program; %s stands for the role
}

var (
	host  = machine{name: "host", image: "../../bin/firmware/%s-san"}
	lx106 = machine{name: "lx106", image: "../../firmware/build/qemu/%s.elf",
		emulator: "../../firmware/build/qemu/run"}
)

// findBuilt returns the absolute path of a file that the Makefile builds.
func findBuilt(t *testing.T, path string) string {
	t.Helper()
	abs, err := filepath.Abs(path)
	if err == nil {
		_, err = os.Stat(abs)
	}
	if err != nil {
		t.Fatalf("%v: make firmware-test builds it", err)
	}
	return abs
}

// onEachMachine runs a test with the firmware on each machine.
func onEachMachine(t *testing.T, f func(t *testing.T, m machine)) {
	t.Helper()
	for _, m := range []machine{host, lx106} {
		t.Run(m.name, func(t *testing.T) { f(t, m) })
	}
}

// firmware is a node that runs the firmware.
type firmware struct {
	*device.Program
	t      *testing.T
	dir    string // the folder that stands for its flash
	mayDie bool   // the test expects the program to end with an error

	mu    sync.Mutex
	lines []string // guarded by mu; what it printed
}

// runFirmware runs a node until the test ends. role is a kind, reader-battery or reader-lock. The
// key of a reader-lock is that of its reader.
func (s *site) runFirmware(m machine, role, name string, k keys.Key, addr, target string) *firmware {
	s.t.Helper()
	return s.runFirmwareIn(s.t.TempDir(), m, role, name, k, addr, target)
}

// runFirmwareIn is runFirmware with a flash that may have been used before.
func (s *site) runFirmwareIn(dir string, m machine, role, name string, k keys.Key, addr,
	target string) *firmware {
	s.t.Helper()
	kind, _, _ := strings.Cut(role, "-")
	emulator := m.emulator
	if emulator != "" {
		emulator = findBuilt(s.t, emulator)
	}
	f := &firmware{t: s.t, dir: dir}
	p, err := device.StartProgram(device.ProgramConfig{Name: name, Kind: keys.Kind(kind), Target: target,
		Gateway: addr, Identity: k.ID, Secret: k.Secret,
		Dir: dir, Program: findBuilt(s.t, fmt.Sprintf(m.image, role)), Emulator: emulator,
		Line: func(line string) {
			f.mu.Lock()
			f.lines = append(f.lines, line)
			f.mu.Unlock()
			if testing.Verbose() {
				fmt.Fprintf(os.Stderr, "%s: %s\n", name, line)
			}
		}})
	if err != nil {
		s.t.Fatal(err)
	}
	f.Program = p
	s.t.Cleanup(func() {
		if err := p.Err(); err != nil && !f.mayDie {
			s.t.Error(err)
		}
		p.Close()
	})
	return f
}

// awaitLine returns the first line after mark that contains one of texts. within is how long that
// takes at most on a quiet machine.
func (f *firmware) awaitLine(mark int, within time.Duration, texts ...string) string {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*within)
	defer cancel()
	line, err := f.Await(ctx, mark, texts...)
	if err != nil {
		f.t.Fatalf("waiting for one of %q: %v", texts, err)
	}
	return line
}

// countLines returns how many lines so far contain text.
func (f *firmware) countLines(text string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, line := range f.lines {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

func (f *firmware) waitUntilReady() {
	f.t.Helper()
	// A node waits long after several failures.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := f.Ready(ctx); err != nil {
		f.t.Fatal(err)
	}
}

// powerCycle restarts the node without a close_notify, and waits until it has registered again.
func (f *firmware) powerCycle() {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := f.PowerCycle(ctx); err != nil {
		f.t.Fatal(err)
	}
	f.waitUntilReady()
}

func (f *firmware) scan(uid []byte) (wire.Verdict, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return f.Scan(ctx, uid)
}

// wantVerdict scans a card and checks the verdict.
func (f *firmware) wantVerdict(uid []byte, want wire.Outcome) {
	f.t.Helper()
	if v, err := f.scan(uid); err != nil || v.Verdict != want {
		f.t.Fatalf("got %+v, %v, want %s", v, err, want)
	}
}

// firmDoor is a door whose reader and lock run the firmware.
type firmDoor struct {
	*door
	reader, lock *firmware
}

// newFirmDoor starts a lock and a reader. lock and reader return the address at which each of them
// reaches the gateway; a node whose function is nil is left out.
func newFirmDoor(t *testing.T, m machine, reader, lock func(gateway string) string) *firmDoor {
	t.Helper()
	d := &firmDoor{door: newDoor(t, store.Options{})}
	if lock != nil {
		d.lock = d.runFirmware(m, "lock", "front-lock", d.lockKey, lock(d.addr), "")
		d.lock.waitUntilReady()
		d.awaitLockState()
	}
	if reader != nil {
		d.reader = d.runFirmware(m, "reader", "front-reader", d.readerKey, reader(d.addr), "")
		d.reader.waitUntilReady()
	}
	return d
}

func directWay(gateway string) string { return gateway }

// wantClosed checks that the lock has been switched on moves times in all. It waits until every
// datagram that was sent has had its effect.
func (d *firmDoor) wantClosed(moves int) {
	d.t.Helper()
	deadline := time.After(1500 * time.Millisecond)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-deadline:
			if got := d.lock.Moves(); got != moves {
				d.t.Fatalf("the lock was switched on %d times, want %d", got, moves)
			}
			return
		case <-tick.C:
			if got := d.lock.Moves(); got > moves {
				d.t.Fatalf("the lock was switched on %d times, want %d", got, moves)
			}
		}
	}
}

// tapUntilOpen taps until the door opens, and waits until it is shut again.
func (d *firmDoor) tapUntilOpen() {
	d.t.Helper()
	moves := d.lock.Moves()
	eventually(d.t, "the door opens for the next tap", 40*time.Second, func() bool {
		v, err := d.reader.scan(annsCard)
		return err == nil && v.Verdict == wire.Granted
	})
	eventually(d.t, "the lock was switched on", time.Second, func() bool { return d.lock.Moves() > moves })
	eventually(d.t, "the lock is off again", 3*time.Second, func() bool { return !d.lock.State().On })
}
