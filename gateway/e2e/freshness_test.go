package e2e

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/plgd-dev/go-coap/v3/message/codes"

	"latchkey/coapres"
	"latchkey/coapres/device"
	"latchkey/coapres/transport"
	"latchkey/coapres/wire"
	"latchkey/gateway/audit"
	"latchkey/gateway/store"
	"latchkey/keys"
)

// holdTime is how long the attacker delays datagrams. It is longer than any scan or command stays
// fresh.
const holdTime = 5 * time.Second

func newRelay(t *testing.T, gateway string) *device.Relay {
	t.Helper()
	r, err := device.NewRelay(gateway, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// wantNoMoreMoves waits until every datagram that was sent has had its effect, and checks that the
// lock has moved at most moves times in all.
func (d *door) wantNoMoreMoves(moves int) {
	d.t.Helper()
	deadline := time.After(1500 * time.Millisecond)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-deadline:
			return
		case <-tick.C:
			if got := d.lock.Moves(); got > moves {
				d.t.Fatalf("the lock moved %d times, want %d", got, moves)
			}
		}
	}
}

func TestScanHeldBackOpensNothing(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	r := newRelay(t, d.addr)
	d.connectNodes(r.Addr(), d.addr)
	_, released := r.Hold(device.Up, holdTime)
	if v, err := d.scan(annsCard); !errors.Is(err, device.ErrNoVerdict) {
		t.Fatalf("got %+v, %v, want no verdict", v, err)
	}
	<-released
	d.wantNoMoreMoves(0)
	if tl := d.listTimelines(); len(tl) != 0 {
		t.Fatalf("got decisions %+v, want none", tl)
	}
	d.tapUntilOpen(t)
}

// tapUntilOpen taps until the door opens, and checks that the lock moved once.
func (d *door) tapUntilOpen(t *testing.T) {
	t.Helper()
	moves := d.lock.Moves()
	eventually(t, "the door opens for the next tap", 20*time.Second, func() bool {
		v, err := d.scan(annsCard)
		return err == nil && v.Verdict == wire.Granted
	})
	if got := d.lock.Moves(); got != moves+1 {
		t.Errorf("the lock moved %d times for one verdict, want once", got-moves)
	}
}

func TestCommandHeldBackOpensNothing(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	r := newRelay(t, d.addr)
	d.connectNodes(d.addr, r.Addr())
	_, released := r.Hold(device.Down, holdTime)
	v, err := d.scan(annsCard)
	if err != nil || v.Verdict != wire.Retry {
		t.Fatalf("got %+v, %v, want retry", v, err)
	}
	for _, view := range d.gw.Views() {
		if view.Device == d.lockID && view.Known {
			t.Errorf("after a lost receipt the state is %+v, want unknown", view.State)
		}
	}
	<-released
	d.wantNoMoreMoves(0)
	if got := d.listTimelines()[0].Outcome; got != audit.OutcomeUnknown {
		t.Errorf("got outcome %q, want unknown", got)
	}
	d.tapUntilOpen(t)
}

func TestStalledDiskOpensNothing(t *testing.T) {
	t.Parallel()
	var stall atomic.Bool
	d := newDoor(t, store.Options{BeforeCommit: func() {
		if stall.CompareAndSwap(true, false) {
			time.Sleep(holdTime)
		}
	}})
	d.connectNodes(d.addr, d.addr)
	stall.Store(true)
	v, err := d.scan(annsCard)
	if code := (*device.CodeError)(nil); !errors.As(err, &code) || code.Code != codes.ServiceUnavailable ||
		code.Why != "not decided in time" {
		t.Fatalf("got %+v, %v, want 5.03, not silence", v, err)
	}
	if n := len(d.listTimelines()); n != 0 {
		t.Errorf("got %d finished attempts, want the answer before the attempt is finished", n)
	}
	if n := d.reader.Sessions(); n != 1 {
		t.Errorf("got %d sessions, want the reader's first session to continue", n)
	}
	eventually(t, "the decision is durable", 10*time.Second,
		func() bool { return len(d.listTimelines()) == 1 })
	d.wantNoMoreMoves(0)
	if tl := d.listTimelines()[0]; !tl.Decision.Granted || tl.Outcome != audit.OutcomeLate {
		t.Errorf("got %+v, want granted and late", tl)
	}
	d.tapUntilOpen(t)
}

// rawClient is a reader that the test controls fully: it can send late scans and wrong ages.
type rawClient struct {
	t    *testing.T
	conn *transport.Conn
	held coapres.Held
}

func (d *door) dialReader(addr string) *rawClient {
	d.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c, err := transport.Dial(ctx, addr, d.readerKey.ID, d.readerKey.Secret, nil)
	if err != nil {
		cancel()
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { cancel(); <-c.Done() })
	return &rawClient{t: d.t, conn: c}
}

func (c *rawClient) postRequest(path string, echo, body []byte, limit time.Duration) (coapres.Answer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return coapres.Call(ctx, c.conn, &c.held, coapres.Request{Method: codes.POST, Path: path, Echo: echo,
		Format: wire.CBOR, Body: body})
}

// scan sends a scan with any Echo and any age.
func (c *rawClient) scan(n uint64, uid, echo []byte, age int32) (codes.Code, wire.Verdict) {
	c.t.Helper()
	b, err := wire.Scan{N: n, UID: uid, Age: age}.Encode(wire.CBOR)
	if err != nil {
		c.t.Fatal(err)
	}
	a, err := c.postRequest("/scan", echo, b, 10*time.Second)
	if err != nil {
		c.t.Fatal(err)
	}
	v, _ := wire.ParseVerdict(wire.CBOR, a.Body)
	return a.Code, v
}

// fetchEcho returns a fresh Echo from the gateway.
func (c *rawClient) fetchEcho() []byte {
	c.t.Helper()
	if _, err := c.postRequest("/rd", nil, nil, 5*time.Second); err != nil {
		c.t.Fatal(err)
	}
	e, _ := c.held.Age(time.Now(), time.Now())
	return e
}

// A reader without an Echo sends a scan, and the attacker delays the answer that brings the Echo.
// The reader then repeats the scan with its true age, which says that the tap was before the Echo,
// and the gateway refuses it.
func TestEchoHeldBackOpensNothing(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	r := newRelay(t, d.addr)
	d.lock = d.runNode("front-lock", keys.KindLock, d.lockKey, d.addr)
	d.awaitLockState()
	c := d.dialReader(r.Addr())
	_, released := r.Hold(device.Down, holdTime)
	tapped := time.Now()
	if code, _ := c.scan(1, annsCard, nil, 0); code != codes.Unauthorized {
		t.Fatalf("without an Echo: got %s, want 4.01", code)
	}
	<-released
	if got := time.Since(tapped); got < holdTime {
		t.Fatalf("the Echo came after %v, so nothing was delayed", got)
	}
	for range 3 { // repetitions of the same intent, each with the newest Echo
		echo, age := c.held.Age(tapped, time.Now())
		if code, _ := c.scan(1, annsCard, echo, age); code != codes.Unauthorized {
			t.Fatalf("repeat: got %s, want 4.01", code)
		}
	}
	d.wantNoMoreMoves(0)
	echo, age := c.held.Age(time.Now(), time.Now())
	if code, v := c.scan(1, annsCard, echo, age); code != codes.Changed || v.Verdict != wire.Granted {
		t.Fatalf("a new tap: got %s %+v, want granted", code, v)
	}
}

func TestLiesAndReplays(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	d.lock = d.runNode("front-lock", keys.KindLock, d.lockKey, d.addr)
	d.awaitLockState()
	c := d.dialReader(d.addr)
	echo := c.fetchEcho()
	wantCode := func(rule string, want, got codes.Code) {
		t.Helper()
		if got != want {
			t.Errorf("%s: got %s, want %s", rule, got, want)
		}
	}
	code, _ := c.scan(1, annsCard, echo, 60_000)
	wantCode("an age that puts the tap in the future", codes.Unauthorized, code)
	code, _ = c.scan(1, annsCard, c.fetchEcho(), -4000)
	wantCode("an age that says the tap was 4 s ago", codes.Unauthorized, code)
	code, _ = c.scan(1, annsCard, c.fetchEcho(), -60_001)
	wantCode("an impossible age", codes.BadRequest, code)
	code, _ = c.scan(1, annsCard, []byte("12345678"), 0)
	wantCode("an Echo that the gateway did not issue", codes.Unauthorized, code)
	old := c.fetchEcho()
	for range 4 {
		c.fetchEcho()
	}
	code, _ = c.scan(1, annsCard, old, 0)
	wantCode("the Echo before the last four", codes.Unauthorized, code)
	d.wantNoMoreMoves(0)

	code, v := c.scan(7, annsCard, c.fetchEcho(), 0)
	if code != codes.Changed || v != (wire.Verdict{Verdict: wire.Granted, Last: 7}) {
		t.Fatalf("a fresh scan: got %s %+v, want granted", code, v)
	}
	if code, v = c.scan(7, annsCard, c.fetchEcho(), 0); code != codes.Changed || v.Verdict != wire.Granted {
		t.Errorf("the same intent again: got %s %+v, want the same verdict", code, v)
	}
	if code, v = c.scan(7, []byte{9, 9, 9, 9}, c.fetchEcho(), 0); code != codes.Changed ||
		v != (wire.Verdict{Last: 7}) {
		t.Errorf("the same counter with another card: got %s %+v, want denied", code, v)
	}
	if code, v = c.scan(6, annsCard, c.fetchEcho(), 0); code != codes.Changed ||
		v != (wire.Verdict{Last: 7}) {
		t.Errorf("an older counter: got %s %+v, want denied", code, v)
	}
	if got := d.lock.Moves(); got != 1 {
		t.Errorf("the lock moved %d times, want once", got)
	}
	mine := c.fetchEcho()
	other := d.dialReader(d.addr) // a newer session of the same device
	code, _ = other.scan(8, annsCard, mine, 0)
	wantCode("an Echo of another association", codes.Unauthorized, code)
	if got := d.lock.Moves(); got != 1 {
		t.Errorf("the lock moved %d times, want once", got)
	}
}
