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

// longDoor makes a door whose pulse is longer than the test, with its lock behind a relay.
func longDoor(t *testing.T) (*door, *device.Relay) {
	t.Helper()
	d := &door{site: newSite(t, store.Options{})}
	d.id = d.addTarget("front-door", access.Door, 30*time.Second)
	d.readerID, d.readerKey = d.enrolDevice("front-reader", keys.KindReader, d.id)
	d.lockID, d.lockKey = d.enrolDevice("front-lock", keys.KindLock, d.id)
	d.addPerson("ann", annsCard, d.id)
	r := newRelay(t, d.addr)
	d.lock = d.runDevice(device.Config{Name: "front-lock", Kind: keys.KindLock, MaxPulse: time.Minute},
		d.lockKey, r.Addr())
	d.reader = d.runNode("front-reader", keys.KindReader, d.readerKey, d.addr)
	d.awaitLockState()
	return d, r
}

func (d *door) startLockdown() {
	d.t.Helper()
	s := d.store.Snapshot().Site
	s.Lockdown = true
	d.applyRecords(s)
}

// An attacker delays all datagrams from the lock, so the gateway gets no receipt of the unlock, and
// the command of the lockdown has no effect at first. The door is locked once the gateway hears the
// lock again.
func TestLockdownReachesALockThatWasNotHeard(t *testing.T) {
	t.Parallel()
	d, r := longDoor(t)
	_, released := r.Hold(device.Up, 2500*time.Millisecond)
	if v, err := d.scan(annsCard); err != nil || v.Verdict != wire.Retry || !d.lock.State().On {
		t.Fatalf("got %+v, %v, want retry and the door open", v, err)
	}
	d.startLockdown()
	if !d.lock.State().On {
		t.Fatal("the lock got the lockdown's command, so nothing was delayed")
	}
	<-released
	eventually(t, "the door is locked once the gateway hears the lock", 5*time.Second,
		func() bool { return !d.lock.State().On })
	for _, ev := range d.listEvents() {
		if ev.Kind == audit.EventDecision && ev.Actor == "lockdown" && ev.Granted && ev.Action == wire.Lock {
			return
		}
	}
	t.Error("no event says that the lockdown locked it")
}

// The lock has no session when the lockdown begins.
func TestLockdownReachesALockThatWasOffline(t *testing.T) {
	t.Parallel()
	d, r := longDoor(t)
	if v, err := d.scan(annsCard); err != nil || v.Verdict != wire.Granted {
		t.Fatalf("got %+v, %v, want granted", v, err)
	}
	_, released := r.Hold(device.Up, 4*time.Second)
	d.stop()
	d.wait()
	d.startLockdown()
	d.start()
	<-released
	eventually(t, "the door is locked once the lock has a session", 20*time.Second,
		func() bool { return !d.lock.State().On })
}
