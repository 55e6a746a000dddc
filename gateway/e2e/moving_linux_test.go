package e2e

import (
	"context"
	"os"
	"testing"
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/store"
)

// houseAt starts a gateway at that machine's address, on the port that bundles name.
func houseAt(t *testing.T, addr string) *door {
	t.Helper()
	d := newDoor(t, store.Options{})
	d.stop()
	d.addr = addr + ":5684"
	d.start()
	return d
}

// moveTo stops the gateway, copies the data folder, which is all that the new machine gets, and
// starts a gateway there.
func (d *door) moveTo(addr string) {
	d.t.Helper()
	d.stop()
	if err := d.store.Close(); err != nil {
		d.t.Fatal(err)
	}
	copied := d.t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(d.dir)); err != nil {
		d.t.Fatal(err)
	}
	runTool(d.t, "chmod", "-R", "go=", copied)
	if err := os.Rename(d.dir, d.dir+"-gone"); err != nil {
		d.t.Fatal(err)
	}
	d.dir, d.opts.Dir, d.addr = copied, copied, addr+":5684"
	d.openStore()
	d.start()
}

// A house moves to another machine: nodes that know the gateway by name come by themselves, and the
// door opens. This is what README.md describes.
func TestMovingToAnotherMachine(t *testing.T) {
	t.Parallel()
	if !runInHouse(t) {
		return
	}
	answers := answerWith(t, oldMachine)
	d := houseAt(t, oldMachine)
	d.connectNodes(localName+":5684", serverName+":5684")
	d.mustOpen("on the old machine")

	began := time.Now()
	answers.moveTo(newMachine)
	d.moveTo(newMachine)
	d.openWithin(time.Minute, "on the new machine")
	t.Logf("the door opened %v after the old machine was switched off",
		time.Since(began).Round(100*time.Millisecond))
}

// A forger answers every question, at full rate, with an address where somebody is without the key.
func TestForgedNamesCostTwoSeconds(t *testing.T) {
	t.Parallel()
	if !runInHouse(t) {
		return
	}
	truth := answerWith(t, oldMachine)
	d := houseAt(t, oldMachine)
	f := startForger(t, truth)
	began := time.Now()
	d.connectNodes(localName+":5684", localName+":5684")
	took := time.Since(began)
	f.check(t, took)
	asked := f.asked.Load()
	for range 10 {
		d.mustOpen("while somebody forges")
	}
	// The address that worked is the first after a loss.
	sessions := d.reader.Sessions()
	d.reader.Drop()
	eventually(t, "the reader comes back", 5*time.Second, func() bool { return d.reader.Sessions() > sessions })
	d.mustOpen("after a loss")
	if got := f.asked.Load(); got != asked {
		t.Errorf("%d more questions were asked, want none while sessions work or the last address does", got-asked)
	}
}

// mustOpen taps a card once and waits until the door is open, and shut again.
func (d *door) mustOpen(when string) {
	d.t.Helper()
	if v, err := d.scan(annsCard); err != nil || v.Verdict != wire.Granted || !d.lock.State().On {
		d.t.Fatalf("%s: got %+v, %v, the lock on %v, want granted and on", when, v, err, d.lock.State().On)
	}
	eventually(d.t, "the door is shut", 2*time.Second, func() bool { return !d.lock.State().On })
}

// openWithin taps until the door opens.
func (d *door) openWithin(within time.Duration, when string) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*within)
	defer cancel()
	for ctx.Err() == nil {
		if v, err := d.scan(annsCard); err == nil && v.Verdict == wire.Granted && d.lock.State().On {
			return
		}
		time.Sleep(500 * time.Millisecond) // people tap again
	}
	d.t.Fatalf("not within %v: the door opens %s", 5*within, when)
}
