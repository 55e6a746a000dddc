//go:build firmware

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The same as TestMovingToAnotherMachine with the firmware: its nodes are not touched.
func TestFirmwareMovesToAnotherMachine(t *testing.T) {
	t.Parallel()
	if !runInHouse(t) {
		return
	}
	answers := answerWith(t, oldMachine)
	d := &firmDoor{door: houseAt(t, oldMachine)}
	d.lock = d.runFirmware(host, "lock", "front-lock", d.lockKey, serverName+":5684", "")
	d.reader = d.runFirmware(host, "reader", "front-reader", d.readerKey, localName+":5684", "")
	d.lock.waitUntilReady()
	d.reader.waitUntilReady()
	d.awaitLockState()
	d.tapUntilOpen()

	began := time.Now()
	answers.moveTo(newMachine)
	d.moveTo(newMachine)
	mark := d.reader.Mark()
	eventually(t, "the lock comes to the new machine", time.Minute, func() bool { return d.isOnline(d.lockID) })
	d.tapUntilOpen()
	t.Logf("the door opened %v after the old machine was switched off",
		time.Since(began).Round(100*time.Millisecond))

	// After a power cut the new address is known, and nobody is asked.
	kept, err := os.ReadFile(filepath.Join(d.reader.dir, "kv", "found"))
	if want := string([]byte{2, 0, 77, 10}) + localName; err != nil || string(kept) != want {
		t.Errorf("got %q in flash, %v, want %q", kept, err, want)
	}
	d.reader.awaitLine(mark, time.Second, "asking for the gateway's name")
	mark = d.reader.Mark()
	if err := d.reader.PowerCycle(t.Context()); err != nil {
		t.Fatal(err)
	}
	line := d.reader.awaitLine(mark, 10*time.Second, "asking for the gateway's name", "log session up")
	if !strings.Contains(line, "session up") {
		t.Errorf("got %q after a power cut, want a session at the last address", line)
	}
	d.tapUntilOpen()
}

// The same as TestForgedNamesCostTwoSeconds with the firmware.
func TestFirmwareIsToldForgedNames(t *testing.T) {
	t.Parallel()
	if !runInHouse(t) {
		return
	}
	truth := answerWith(t, oldMachine)
	d := &firmDoor{door: houseAt(t, oldMachine)}
	f := startForger(t, truth)
	began := time.Now()
	d.lock = d.runFirmware(host, "lock", "front-lock", d.lockKey, localName+":5684", "")
	d.lock.waitUntilReady() // the forger lies to one at a time
	d.reader = d.runFirmware(host, "reader", "front-reader", d.readerKey, localName+":5684", "")
	d.reader.waitUntilReady()
	took := time.Since(began)
	f.check(t, took)
	// The lie was first, and in some rounds all that was heard.
	d.reader.awaitLine(0, time.Second, "not the gateway's address", "session lost, error 5")
	asked, sessions := f.asked.Load(), d.reader.Sessions()
	d.awaitLockState()
	for range 5 {
		d.tapUntilOpen()
	}
	if got, more := d.reader.Sessions(), f.asked.Load()-asked; got != sessions || more != 0 {
		t.Errorf("got %d sessions and %d more questions, want %d and none", got, more, sessions)
	}
}
