package e2e

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"latchkey/coapres/device"
	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/audit"
	"latchkey/gateway/store"
	"latchkey/keys"
	"latchkey/keys/provision"
)

// lossyDoor is one of the doors of TestLossyNetwork.
type lossyDoor struct {
	target  access.ID
	reader  *device.Device
	lock    *device.Device
	uid     []byte
	granted int // verdicts granted, with a pulse within 3 s of the tap
	missed  []string
	verdict map[uint64]bool

	mu    sync.Mutex
	moved []time.Time // guarded by mu; when the lock went on
}

// A thousand taps at twenty doors, through a network that loses a tenth of the datagrams each way,
// and duplicates and reorders others. Most doors open in time. No door opens twice for one tap, and
// no tap is decided twice.
func TestLossyNetwork(t *testing.T) {
	const doors, taps = 20, 50
	s := newSite(t, store.Options{})
	bad := device.Impairment{Loss: 0.1, Duplicate: 0.05, Reorder: 0.05}
	all := make([]*lossyDoor, doors)
	var wg sync.WaitGroup
	for i := range all {
		d := &lossyDoor{uid: []byte{4, 3, 2, byte(i)}, verdict: map[uint64]bool{}}
		all[i] = d
		d.target = s.addTarget(fmt.Sprintf("door-%d", i), access.Door, 300*time.Millisecond)
		_, readerKey := s.enrolDevice(fmt.Sprintf("reader-%d", i), keys.KindReader, d.target)
		_, lockKey := s.enrolDevice(fmt.Sprintf("lock-%d", i), keys.KindLock, d.target)
		s.addPerson(fmt.Sprintf("person-%d", i), d.uid, d.target)
		r, err := device.NewRelay(s.addr, uint64(i)+1)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = r.Close() })
		d.lock = s.runDevice(device.Config{Name: fmt.Sprintf("lock-%d", i), Kind: keys.KindLock,
			Changed: d.noteState}, lockKey, r.Addr())
		d.reader = s.runDevice(device.Config{Name: fmt.Sprintf("reader-%d", i), Kind: keys.KindReader},
			readerKey, r.Addr())
		r.Impair(bad)
		wg.Go(func() {
			pace := time.NewTicker(150 * time.Millisecond) // below a reader's limit of ten requests a second
			defer pace.Stop()
			for range taps {
				<-pace.C
				d.tapOnce()
			}
		})
	}
	wg.Wait()
	total := 0
	for _, d := range all {
		total += d.granted
		for _, why := range d.missed {
			t.Logf("missed: %s", why)
		}
	}
	t.Logf("%d of %d taps granted and pulsed within 3 s", total, doors*taps)
	if total < 950 {
		t.Errorf("got %d of %d taps granted and pulsed within 3 s, want at least 950", total, doors*taps)
	}
	s.stop()
	s.checkDecisions(t, all)
}

func (d *lossyDoor) noteState(st wire.State) {
	if st.On {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.moved = append(d.moved, time.Now())
	}
}

func (d *lossyDoor) tapOnce() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	began := time.Now()
	v, err := d.reader.Scan(ctx, d.uid)
	if err != nil {
		d.missed = append(d.missed, err.Error())
		return
	}
	d.verdict[v.Last] = true
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := len(d.moved); v.Verdict == wire.Granted && n > 0 && d.moved[n-1].After(began) &&
		d.moved[n-1].Sub(began) < 3*time.Second {
		d.granted++
		return
	}
	d.missed = append(d.missed, v.Verdict.String())
}

// checkDecisions reads all events and checks them: at most one decision per device and counter,
// exactly one for each verdict, and no more pulses than granted decisions.
func (s *site) checkDecisions(t *testing.T, all []*lossyDoor) {
	t.Helper()
	decided, granted := map[string]int{}, map[access.ID]int{}
	for _, ev := range s.listEvents() {
		if ev.Kind != audit.EventDecision {
			continue
		}
		decided[fmt.Sprintf("%s/%d", ev.Device.Name, ev.Counter)]++
		if ev.Granted {
			granted[ev.Target.ID]++
		}
	}
	for key, n := range decided {
		if n != 1 {
			t.Errorf("%s: got %d decisions, want 1", key, n)
		}
	}
	for i, d := range all {
		for counter := range d.verdict {
			if decided[fmt.Sprintf("reader-%d/%d", i, counter)] != 1 {
				t.Errorf("reader-%d: got a verdict for counter %d, but no decision", i, counter)
			}
		}
		if got := d.lock.Moves(); got > granted[d.target] {
			t.Errorf("door-%d: %d pulses for %d granted decisions", i, got, granted[d.target])
		}
	}
}

// listEvents returns all events of the store.
func (s *site) listEvents() []audit.Event {
	s.t.Helper()
	var all []audit.Event
	for {
		evs, err := s.store.Events(context.Background(), uint64(len(all))+1, 500)
		if err != nil {
			s.t.Fatal(err)
		}
		if len(evs) == 0 {
			return all
		}
		all = append(all, evs...)
	}
}

// After a restart the chain of events verifies, counters still only grow, and datagrams captured
// before it have no effect.
func TestRestart(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	r := newRelay(t, d.addr)
	var mu sync.Mutex
	var captured [][]byte
	r.Tap(func(dir device.Direction, b []byte) {
		if dir == device.Up {
			mu.Lock()
			defer mu.Unlock()
			captured = append(captured, append([]byte(nil), b...))
		}
	})
	d.connectNodes(r.Addr(), d.addr)
	for range 3 {
		d.tapUntilOpen(t)
	}
	counter := d.reader.Counter()
	mu.Lock()
	old := captured
	mu.Unlock()

	replay := func() {
		for _, b := range old {
			r.Inject(device.Up, b)
		}
		d.wantNoMoreMoves(3)
	}
	replay() // into the session in which they were captured
	d.stop()
	if err := d.store.Close(); err != nil {
		t.Fatal(err)
	}
	d.openStore()
	if err := d.store.Verify(context.Background()); err != nil {
		t.Fatal(err)
	}
	d.start()
	d.reader.Drop()
	d.lock.Drop()
	replay() // into a gateway without any session
	d.awaitLockState()
	d.tapUntilOpen(t)
	old = append([][]byte(nil), old...)
	d.wantNoMoreMoves(4)
	for _, b := range old { // into a later session of the same reader
		r.Inject(device.Up, b)
	}
	d.wantNoMoreMoves(4)
	d.tapUntilOpen(t)
	if got := d.reader.Counter(); got < counter+2 {
		t.Errorf("got counter %d after the restart, want above %d", got, counter+1)
	}
	d.endNode(d.readerKey)
	c := d.dialReader(d.addr)
	if code, v := c.scan(counter, annsCard, c.fetchEcho(), 0); v.Verdict != wire.Denied {
		t.Errorf("an old counter: got %s %+v, want denied", code, v)
	}
	last := uint64(0)
	for _, ev := range d.listEvents() {
		if ev.Kind == audit.EventDecision && ev.Granted {
			if ev.Counter <= last {
				t.Errorf("counter %d granted after %d", ev.Counter, last)
			}
			last = ev.Counter
		}
	}
}

// A reader that has lost its counter gets the right one within the same tap.
func TestForgottenCounter(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	d.connectNodes(d.addr, d.addr)
	for range 4 {
		d.tapUntilOpen(t)
	}
	d.reader = d.runDevice(device.Config{Name: "front-reader", Kind: keys.KindReader}, d.readerKey, d.addr)
	v, err := d.scan(annsCard)
	if err != nil || v != (wire.Verdict{Verdict: wire.Granted, Last: 5}) {
		t.Errorf("got %+v, %v, want granted with counter 5", v, err)
	}
}

// revokeKey revokes a device's key.
func (s *site) revokeKey(k keys.Key) {
	s.t.Helper()
	s.applyRecords(provision.Revoke(k))
}
