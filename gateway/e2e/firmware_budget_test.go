//go:build firmware

package e2e

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/coapres/device"
	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/store"
	"latchkey/keys"
)

// What a node may use of an ESP8266. `make -C firmware size` checks the size of code and constants,
// and qemu-size that of stack frames.
const (
	mostHandshake = 620_000 // instructions, from the first byte of the ClientHello to the end
	mostScan      = 40_000  // instructions, from the intent to the verdict
	mostHeap      = 5_632   // bytes, of Mbed TLS alone; it has two associations while a session is renewed
	mostStack     = 2_048   // bytes, with the board's own functions
	mostSaved     = 400     // bytes of an association in RTC memory
	mostDatagram  = 512     // bytes
)

var statLine = regexp.MustCompile(` stat heap=(\d+) peak=(\d+) stack=(\d+) `)

// countInstructions returns the number of instructions between the first line after mark that
// contains from and the first that contains to.
func (f *firmware) countInstructions(mark int, from, to string) int {
	f.t.Helper()
	count := func(line string) int {
		n, err := strconv.Atoi(line[:strings.IndexByte(line, ' ')])
		if err != nil {
			f.t.Fatalf("%q has no count", line)
		}
		return n
	}
	began := count(f.awaitLine(mark, 30*time.Second, from))
	return count(f.awaitLine(mark, 30*time.Second, to)) - began
}

func checkAtMost(t *testing.T, what string, got, most int) {
	t.Helper()
	if got <= 0 || got > most {
		t.Errorf("%s: got %d, want at most %d", what, got, most)
	}
}

// checkMemory reads the first stat line after mark and checks it against the budget.
func (f *firmware) checkMemory(mark int) (heap, peak, stack int) {
	f.t.Helper()
	heap, peak, stack = f.readStat(mark)
	checkAtMost(f.t, "heap", peak, mostHeap)
	checkAtMost(f.t, "stack", stack, mostStack)
	return heap, peak, stack
}

// readStat reads the first stat line after mark.
func (f *firmware) readStat(mark int) (heap, peak, stack int) {
	f.t.Helper()
	line := f.awaitLine(mark, 5*time.Second, " stat ")
	m := statLine.FindStringSubmatch(line)
	if m == nil {
		f.t.Fatalf("%q is no stat line", line)
	}
	if _, err := fmt.Sscan(m[1]+" "+m[2]+" "+m[3], &heap, &peak, &stack); err != nil {
		f.t.Fatal(err)
	}
	return heap, peak, stack
}

// Every role stays within its budget, in the same image that the other tests run. Of the
// instructions the smallest of a few rounds counts: the other rounds include what the node does
// while it waits, such as reading its inputs, and retransmissions when this machine is slow.
func TestFirmwareBudgets(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	desk := d.addTarget("desk", access.Lamp, 0)
	_, lampKey := d.enrolDevice("desk-lamp", keys.KindLamp, desk)
	buttonID, buttonKey := d.enrolDevice("hall-switch", keys.KindSwitch, desk)
	d.applyRecords(access.Grant{ID: access.NewID(), SubjectKind: access.SubjectDevice, Subject: buttonID,
		Target: desk, Effect: access.Allow, Created: time.Now()})
	var mu sync.Mutex
	longest := map[string]int{}
	start := func(role, name string, k keys.Key, target string) *firmware {
		r := newRelay(t, d.addr)
		r.Tap(func(dir device.Direction, b []byte) {
			mu.Lock()
			defer mu.Unlock()
			if dir == device.Up {
				longest[role] = max(longest[role], len(b))
			}
		})
		return d.runFirmware(lx106, role, name, k, r.Addr(), target)
	}
	lock, lamp := start("lock", "front-lock", d.lockKey, ""), start("lamp", "desk-lamp", lampKey, "")
	reader, button := start("reader", "front-reader", d.readerKey, ""), start("switch", "hall-switch",
		buttonKey, "desk")
	lock.waitUntilReady()
	lamp.waitUntilReady()
	d.awaitLockState()

	const rounds = 5
	var table strings.Builder
	for _, n := range []struct {
		role string
		*firmware
		ask func() (wire.Verdict, error)
	}{
		{"reader", reader, func() (wire.Verdict, error) { return reader.scan(annsCard) }},
		{"switch", button, func() (wire.Verdict, error) {
			return button.Ask(t.Context(), "desk", wire.Toggle, 0)
		}},
		{"lock", lock, nil},
		{"lamp", lamp, nil},
	} {
		n.waitUntilReady()
		var handshakes, asks []int
		for range rounds {
			mark := n.Mark()
			n.powerCycle()
			handshakes = append(handshakes, n.countInstructions(mark, " log connecting", " log session up"))
			if n.ask == nil {
				continue
			}
			mark = n.Mark()
			if v, err := n.ask(); err != nil || v.Verdict != wire.Granted {
				t.Fatalf("%s: got %+v, %v, want granted", n.role, v, err)
			}
			asks = append(asks, n.countInstructions(mark, " log asking", " log verdict"))
		}
		mark := n.Mark()
		n.Tell("!stat")
		heap, peak, stack := n.checkMemory(mark)
		least, most := bounds(handshakes)
		fmt.Fprintf(&table, "\n%-7s handshake %d…%d", n.role, least, most)
		checkAtMost(t, n.role+": handshake", least, mostHandshake)
		if n.ask != nil {
			least, most = bounds(asks)
			fmt.Fprintf(&table, ", intent to verdict %d…%d", least, most)
			checkAtMost(t, n.role+": intent to verdict", least, mostScan)
		}
		mu.Lock()
		checkAtMost(t, n.role+": datagram", longest[n.role], mostDatagram)
		fmt.Fprintf(&table, ", heap %d peak %d, stack %d, longest datagram %d", heap, peak, stack,
			longest[n.role])
		mu.Unlock()
	}
	t.Log(table.String())
}

func bounds(ns []int) (least, most int) {
	least, most = ns[0], ns[0]
	for _, n := range ns {
		least, most = min(least, n), max(most, n)
	}
	return least, most
}
