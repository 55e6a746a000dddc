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

// A scan that waited behind another is decided by the policy at the time of its turn.
func TestRevocationComesBeforeWhatWaited(t *testing.T) {
	t.Parallel()
	var stall atomic.Bool
	stalled, release := make(chan struct{}), make(chan struct{})
	d := newDoor(t, store.Options{BeforeCommit: func() {
		if stall.CompareAndSwap(true, false) {
			close(stalled)
			<-release
		}
	}})
	d.lock = d.node("front-lock", keys.KindLock, d.lockKey, d.addr)
	d.settled()
	c := d.client(d.addr)
	echo := c.echo()
	stall.Store(true)
	var wg sync.WaitGroup
	send := func(n uint64) {
		wg.Go(func() {
			b, err := wire.Scan{N: n, UID: annsCard}.Encode(wire.CBOR)
			if err != nil {
				t.Error(err)
			}
			_, _ = c.post("/scan", echo, b, 5*time.Second) // its session ends meanwhile
		})
	}
	send(1)
	<-stalled
	sent := time.Now()
	send(2)
	eventually(t, "the second scan is there", 5*time.Second,
		func() bool { return d.heard(d.readerID).After(sent) })
	revoked := make(chan struct{})
	go func() {
		defer close(revoked)
		d.revoke(d.readerKey)
	}()
	close(release)
	<-revoked
	wg.Wait()
	eventually(t, "both are decided", 5*time.Second, func() bool { return len(d.timelines()) == 2 })
	var at uint64
	for _, ev := range d.events() {
		if ev.Kind == audit.EventPolicy {
			at = ev.Seq
		}
	}
	for _, tl := range d.timelines() {
		if tl.Seq > at && tl.Decision.Reason != access.ReasonKeyRevoked {
			t.Errorf("event %d, after the revocation in event %d: got %+v, want key-revoked", tl.Seq, at,
				tl.Decision)
		}
	}
}

// The reader knows that the door has opened before the receipt is on disk. A repeat of the scan
// waits for the receipt and gets the same answer.
func TestVerdictDoesNotWaitForTheRecord(t *testing.T) {
	t.Parallel()
	var lock atomic.Pointer[device.Device] // set: hold the first commit after it has moved
	held, release := make(chan struct{}), make(chan struct{})
	d := newDoor(t, store.Options{BeforeCommit: func() {
		if l := lock.Load(); l != nil && l.Moves() > 0 && lock.CompareAndSwap(l, nil) {
			close(held)
			<-release
		}
	}})
	let := sync.OnceFunc(func() { close(release) })
	defer let()
	d.lock = d.node("front-lock", keys.KindLock, d.lockKey, d.addr)
	d.settled()
	c := d.client(d.addr)
	first, second := c.echo(), c.echo()
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
	eventually(t, "the repeat is there", 5*time.Second,
		func() bool { return d.heard(d.readerID).After(sent) })
	select {
	case v := <-again:
		t.Errorf("got %+v before the outcome was written", v)
	case <-time.After(100 * time.Millisecond):
	}
	let()
	if v := <-again; v.Verdict != wire.Granted {
		t.Errorf("the repeat got %+v, want granted", v)
	}
	if n := d.lock.Moves(); n != 1 {
		t.Errorf("the lock moved %d times, want once", n)
	}
	events := d.events()
	if last := events[len(events)-1]; last.Kind != audit.EventReceipt || last.Outcome != audit.OutcomeDone {
		t.Errorf("got %+v, want the receipt", last)
	}
}

// heard is when the last message of a device was read.
func (s *site) heard(id access.ID) time.Time {
	for _, v := range s.gw.Views() {
		if v.Device == id {
			return v.LastHeard
		}
	}
	return time.Time{}
}

// Commands of one door are sent in the order of their ids, whichever reader they come from: the
// lock refuses a lower one.
func TestManyReadersAtOneDoor(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	d.connect(d.addr, d.addr)
	var wg sync.WaitGroup
	for i := range 6 {
		name := fmt.Sprintf("reader-%d", i)
		_, k := d.enrol(name, keys.KindReader, d.id)
		r := d.node(name, keys.KindReader, k, d.addr)
		wg.Go(func() {
			for range 15 { // what a reader may ask in a burst
				if v, err := r.Scan(context.Background(), annsCard); err != nil || v.Verdict != wire.Granted {
					t.Errorf("%s: got %+v, %v, want granted", name, v, err)
				}
			}
		})
	}
	wg.Wait()
}

// A toggle sees what the one before it did, also when that is still on its way.
func TestTwoTogglesAreNone(t *testing.T) {
	t.Parallel()
	s := newSite(t, store.Options{})
	desk := s.target("desk", access.Lamp, 0)
	r := relay(t, s.addr)
	lampID, lampKey := s.enrol("desk-lamp", keys.KindLamp, desk)
	lamp := s.node("desk-lamp", keys.KindLamp, lampKey, r.Addr())
	var switches []*device.Device
	for _, name := range []string{"left-switch", "right-switch"} {
		id, k := s.enrol(name, keys.KindSwitch, desk)
		s.apply(access.Grant{ID: access.NewID(), SubjectKind: access.SubjectDevice, Subject: id, Target: desk,
			Effect: access.Allow, Created: time.Now()})
		switches = append(switches, s.node(name, keys.KindSwitch, k, s.addr))
	}
	eventually(t, "the lamp is there", 5*time.Second, func() bool { return s.online(lampID) })
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
