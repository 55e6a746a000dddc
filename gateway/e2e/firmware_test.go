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

// machine is what the firmware runs on in a test: this one, with the sanitizers, or the ESP8266's
// instruction set.
type machine struct {
	name     string
	emulator string // "": none
	image    string // of a role, %s
}

var (
	host  = machine{name: "host", image: "../../bin/firmware/%s-san"}
	lx106 = machine{name: "lx106", image: "../../firmware/build/qemu/%s.elf",
		emulator: "../../firmware/build/qemu/run"}
)

// built is the path of what the Makefile builds, from everywhere.
func built(t *testing.T, path string) string {
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

// onEach runs a test with the firmware on each machine.
func onEach(t *testing.T, f func(t *testing.T, m machine)) {
	t.Helper()
	for _, m := range []machine{host, lx106} {
		t.Run(m.name, func(t *testing.T) { f(t, m) })
	}
}

// firmware is a node that runs it.
type firmware struct {
	*device.Program
	t    *testing.T
	dir  string // its flash
	dies bool   // it is meant to

	mu    sync.Mutex
	lines []string // guarded by mu; what it printed
}

// firmware runs a node until the test ends. role is a kind, reader-battery, or reader-lock: its
// reader.
func (s *site) firmware(m machine, role, name string, k keys.Key, addr, target string) *firmware {
	s.t.Helper()
	return s.firmwareIn(s.t.TempDir(), m, role, name, k, addr, target)
}

// firmwareIn does so with flash that may have been used before.
func (s *site) firmwareIn(dir string, m machine, role, name string, k keys.Key, addr,
	target string) *firmware {
	s.t.Helper()
	kind, _, _ := strings.Cut(role, "-")
	emulator := m.emulator
	if emulator != "" {
		emulator = built(s.t, emulator)
	}
	f := &firmware{t: s.t, dir: dir}
	p, err := device.StartProgram(device.ProgramConfig{Name: name, Kind: keys.Kind(kind), Target: target,
		Gateway: addr, Identity: k.ID, Secret: k.Secret,
		Dir: dir, Program: built(s.t, fmt.Sprintf(m.image, role)), Emulator: emulator,
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
		if err := p.Err(); err != nil && !f.dies {
			s.t.Error(err)
		}
		p.Close()
	})
	return f
}

// await returns the first line from mark on that holds one of texts. It comes within the time given
// on a quiet machine.
func (f *firmware) await(mark int, within time.Duration, texts ...string) string {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*within)
	defer cancel()
	line, err := f.Await(ctx, mark, texts...)
	if err != nil {
		f.t.Fatalf("waiting for one of %q: %v", texts, err)
	}
	return line
}

// said counts the lines so far that hold a text.
func (f *firmware) said(text string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, line := range f.lines {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

func (f *firmware) ready() {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // a node that failed often waits long
	defer cancel()
	if err := f.Ready(ctx); err != nil {
		f.t.Fatal(err)
	}
}

// powerCycle has the node start anew, without a goodbye, and register again.
func (f *firmware) powerCycle() {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := f.PowerCycle(ctx); err != nil {
		f.t.Fatal(err)
	}
	f.ready()
}

func (f *firmware) scan(uid []byte) (wire.Verdict, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return f.Scan(ctx, uid)
}

// tap wants a verdict.
func (f *firmware) tap(uid []byte, want wire.Outcome) {
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

// firmDoor starts reader and lock, each with the gateway at the address given; "" leaves it out.
func newFirmDoor(t *testing.T, m machine, reader, lock func(gateway string) string) *firmDoor {
	t.Helper()
	d := &firmDoor{door: newDoor(t, store.Options{})}
	if lock != nil {
		d.lock = d.firmware(m, "lock", "front-lock", d.lockKey, lock(d.addr), "")
		d.lock.ready()
		d.settled()
	}
	if reader != nil {
		d.reader = d.firmware(m, "reader", "front-reader", d.readerKey, reader(d.addr), "")
		d.reader.ready()
	}
	return d
}

func direct(gateway string) string { return gateway }

// closed checks that the lock is off and has been switched on moves times in all, after every
// datagram that passed has had its effect.
func (d *firmDoor) closed(moves int) {
	d.t.Helper()
	deadline := time.After(1500 * time.Millisecond)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-deadline:
			if got := d.lock.Moves(); got != moves {
				d.t.Fatalf("the lock went on %d times, want %d", got, moves)
			}
			return
		case <-tick.C:
			if got := d.lock.Moves(); got > moves {
				d.t.Fatalf("the lock went on %d times, want %d", got, moves)
			}
		}
	}
}

// works taps as a person would until the door opens.
func (d *firmDoor) works() {
	d.t.Helper()
	moves := d.lock.Moves()
	eventually(d.t, "the door opens for the next tap", 40*time.Second, func() bool {
		v, err := d.reader.scan(annsCard)
		return err == nil && v.Verdict == wire.Granted
	})
	eventually(d.t, "the lock went on", time.Second, func() bool { return d.lock.Moves() > moves })
	eventually(d.t, "and off again", 3*time.Second, func() bool { return !d.lock.State().On })
}
