package e2e

import (
	"testing"
	"time"

	"latchkey/coapres/device"
	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/audit"
	"latchkey/gateway/store"
	"latchkey/keys"
)

// longDoor is a door whose pulse outlasts the test, behind a relay.
func longDoor(t *testing.T) (*door, *device.Relay) {
	t.Helper()
	d := &door{site: newSite(t, store.Options{})}
	d.id = d.target("front-door", access.Door, 30*time.Second)
	d.readerID, d.readerKey = d.enrol("front-reader", keys.KindReader, d.id)
	d.lockID, d.lockKey = d.enrol("front-lock", keys.KindLock, d.id)
	d.person("ann", annsCard, d.id)
	r := relay(t, d.addr)
	d.lock = d.run(device.Config{Name: "front-lock", Kind: keys.KindLock, MaxPulse: time.Minute}, d.lockKey,
		r.Addr())
	d.reader = d.node("front-reader", keys.KindReader, d.readerKey, d.addr)
	d.settled()
	return d, r
}

func (d *door) lockdown() {
	d.t.Helper()
	s := d.store.Snapshot().Site
	s.Lockdown = true
	d.apply(s)
}

// The receipt of an unlock is lost, and the lockdown comes before the lock is heard again: what is
// sent then does not reach it.
func TestLockdownReachesALockThatWasNotHeard(t *testing.T) {
	t.Parallel()
	d, r := longDoor(t)
	_, over := r.Hold(device.Up, 2500*time.Millisecond)
	if v, err := d.scan(annsCard); err != nil || v.Verdict != wire.Retry || !d.lock.State().On {
		t.Fatalf("got %+v, %v, want retry and the door open", v, err)
	}
	d.lockdown()
	if !d.lock.State().On {
		t.Fatal("the lock heard of the lockdown, so nothing was lost")
	}
	<-over
	eventually(t, "the door is locked once the lock is heard", 5*time.Second,
		func() bool { return !d.lock.State().On })
	for _, ev := range d.events() {
		if ev.Kind == audit.EventDecision && ev.Actor == "lockdown" && ev.Granted && ev.Action == wire.Lock {
			return
		}
	}
	t.Error("no event says that the lockdown locked it")
}

// The lock has no session when the lockdown comes.
func TestLockdownReachesALockThatWasOffline(t *testing.T) {
	t.Parallel()
	d, r := longDoor(t)
	if v, err := d.scan(annsCard); err != nil || v.Verdict != wire.Granted {
		t.Fatalf("got %+v, %v, want granted", v, err)
	}
	_, over := r.Hold(device.Up, 4*time.Second)
	d.stop()
	d.wait()
	d.lockdown()
	d.start()
	<-over
	eventually(t, "the door is locked once the lock is back", 20*time.Second,
		func() bool { return !d.lock.State().On })
}
