package e2e

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/plgd-dev/go-coap/v3/message/codes"

	"latchkey/coapres/device"
	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/audit"
	"latchkey/gateway/store"
	"latchkey/keys"
)

// A scan that waits behind another one is decided by the policy that is in force when its turn
// comes.
func TestRevocationAppliesToWaitingScans(t *testing.T) {
	t.Parallel()
	var stall atomic.Bool
	stalled, release := make(chan struct{}), make(chan struct{})
	d := newDoor(t, store.Options{BeforeCommit: func() {
		if stall.CompareAndSwap(true, false) {
			close(stalled)
			<-release
		}
	}})
	d.lock = d.runNode("front-lock", keys.KindLock, d.lockKey, d.addr)
	d.awaitLockState()
	c := d.dialReader(d.addr)
	echo := c.fetchEcho()
	stall.Store(true)
	var wg sync.WaitGroup
	send := func(n uint64) {
		wg.Go(func() {
			b, err := wire.Scan{N: n, UID: annsCard}.Encode(wire.CBOR)
			if err != nil {
				t.Error(err)
			}
			// An error is expected, because the session ends.
			_, _ = c.postRequest("/scan", echo, b, 5*time.Second)
		})
	}
	send(1)
	<-stalled
	sent := time.Now()
	send(2)
	eventually(t, "the gateway has read the second scan", 5*time.Second,
		func() bool { return d.lastHeard(d.readerID).After(sent) })
	revoked := make(chan struct{})
	go func() {
		defer close(revoked)
		d.revokeKey(d.readerKey)
	}()
	close(release)
	<-revoked
	wg.Wait()
	eventually(t, "both are decided", 5*time.Second, func() bool { return len(d.listTimelines()) == 2 })
	var at uint64
	for _, ev := range d.listEvents() {
		if ev.Kind == audit.EventPolicy {
			at = ev.Seq
		}
	}
	for _, tl := range d.listTimelines() {
		if tl.Seq > at && tl.Decision.Reason != access.ReasonKeyRevoked {
			t.Errorf("event %d, after the revocation in event %d: got %+v, want key-revoked", tl.Seq, at,
				tl.Decision)
		}
	}
}

// The reader gets its verdict before the receipt is on disk. A repetition of the scan waits for the
// receipt and gets the same verdict.
func TestVerdictDoesNotWaitForTheRecord(t *testing.T) {
	t.Parallel()
	var lock atomic.Pointer[device.Device] // if set, the first commit after this lock's move is held
	held, release := make(chan struct{}), make(chan struct{})
	d := newDoor(t, store.Options{BeforeCommit: func() {
		if l := lock.Load(); l != nil && l.Moves() > 0 && lock.CompareAndSwap(l, nil) {
			close(held)
			<-release
		}
	}})
	releaseCommit := sync.OnceFunc(func() { close(release) })
	defer releaseCommit()
	d.lock = d.runNode("front-lock", keys.KindLock, d.lockKey, d.addr)
	d.awaitLockState()
	c := d.dialReader(d.addr)
	first, second := c.fetchEcho(), c.fetchEcho()
	lock.Store(d.lock)
	if code, v := c.scan(1, annsCard, first, 0); code != codes.Changed || v.Verdict != wire.Granted {
		t.Fatalf("got %v, %+v while the outcome is being written, want granted", code, v)
	}
	<-held
	sent := time.Now()
	again := make(chan wire.Verdict, 1)
	go func() {
		_, v := c.scan(1, annsCard, second, 0)
		again <- v
	}()
	eventually(t, "the gateway has read the repetition", 5*time.Second,
		func() bool { return d.lastHeard(d.readerID).After(sent) })
	select {
	case v := <-again:
		t.Errorf("got %+v before the outcome was written", v)
	case <-time.After(100 * time.Millisecond):
	}
	releaseCommit()
	if v := <-again; v.Verdict != wire.Granted {
		t.Errorf("the repetition: got %+v, want granted", v)
	}
	if n := d.lock.Moves(); n != 1 {
		t.Errorf("the lock moved %d times, want once", n)
	}
	events := d.listEvents()
	if last := events[len(events)-1]; last.Kind != audit.EventReceipt || last.Outcome != audit.OutcomeDone {
		t.Errorf("got %+v, want the receipt", last)
	}
}

// lastHeard returns when the gateway read the last message of a device.
func (s *site) lastHeard(id access.ID) time.Time {
	for _, v := range s.gw.Views() {
		if v.Device == id {
			return v.LastHeard
		}
	}
	return time.Time{}
}

// Commands to one lock are sent in the order of their IDs, whichever reader caused them, because
// the lock refuses a lower ID.
func TestManyReadersAtOneDoor(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	d.connectNodes(d.addr, d.addr)
	var wg sync.WaitGroup
	for i := range 6 {
		name := fmt.Sprintf("reader-%d", i)
		_, k := d.enrolDevice(name, keys.KindReader, d.id)
		r := d.runNode(name, keys.KindReader, k, d.addr)
		wg.Go(func() {
			for range 15 { // the burst that a reader may send
				if v, err := r.Scan(context.Background(), annsCard); err != nil || v.Verdict != wire.Granted {
					t.Errorf("%s: got %+v, %v, want granted", name, v, err)
				}
			}
		})
	}
	wg.Wait()
}

// A toggle takes the result of the one before it into account, also while that is still under way.
func TestTwoTogglesCancelOut(t *testing.T) {
	t.Parallel()
	s := newSite(t, store.Options{})
	desk := s.addTarget("desk", access.Lamp, 0)
	r := newRelay(t, s.addr)
	lampID, lampKey := s.enrolDevice("desk-lamp", keys.KindLamp, desk)
	lamp := s.runNode("desk-lamp", keys.KindLamp, lampKey, r.Addr())
	var switches []*device.Device
	for _, name := range []string{"left-switch", "right-switch"} {
		id, k := s.enrolDevice(name, keys.KindSwitch, desk)
		s.applyRecords(access.Grant{ID: access.NewID(), SubjectKind: access.SubjectDevice, Subject: id,
			Target: desk, Effect: access.Allow, Created: time.Now()})
		switches = append(switches, s.runNode(name, keys.KindSwitch, k, s.addr))
	}
	eventually(t, "the lamp is online", 5*time.Second, func() bool { return s.isOnline(lampID) })
	r.Hold(device.Down, 300*time.Millisecond) // a slow radio at the lamp
	var wg sync.WaitGroup
	for _, sw := range switches {
		wg.Go(func() {
			if v, err := sw.Ask(context.Background(), "desk", wire.Toggle, 0); err != nil ||
				v.Verdict != wire.Granted {
				t.Errorf("got %+v, %v, want granted", v, err)
			}
		})
	}
	wg.Wait()
	if lamp.State().On || lamp.Moves() != 1 {
		t.Errorf("got %+v after %d moves, want it switched on and off again", lamp.State(), lamp.Moves())
	}
}
