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

// heldBack is how long the attacker keeps a datagram.
const heldBack = 5 * time.Second

func relay(t *testing.T, gateway string) *device.Relay {
	t.Helper()
	r, err := device.NewRelay(gateway, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// quiet waits until every datagram that passed has had its effect, and fails if the lock moved more
// than moves times in all.
func (d *door) quiet(moves int) {
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
	r := relay(t, d.addr)
	d.connect(r.Addr(), d.addr)
	_, over := r.Hold(device.Up, heldBack)
	if v, err := d.scan(annsCard); !errors.Is(err, device.ErrNoVerdict) {
		t.Fatalf("got %+v, %v, want no verdict", v, err)
	}
	<-over
	d.quiet(0)
	if tl := d.timelines(); len(tl) != 0 {
		t.Fatalf("got decisions %+v, want none", tl)
	}
	d.works(t)
}

// works taps once more, as a person would, and wants the door to open.
func (d *door) works(t *testing.T) {
	t.Helper()
	moves := d.lock.Moves()
	eventually(t, "the door opens for the next tap", 20*time.Second, func() bool {
		v, err := d.scan(annsCard)
		return err == nil && v.Verdict == wire.Granted
	})
	if got := d.lock.Moves(); got != moves+1 {
		t.Errorf("the lock moved %d times for one verdict", got-moves)
	}
}

func TestCommandHeldBackOpensNothing(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	r := relay(t, d.addr)
	d.connect(d.addr, r.Addr())
	_, over := r.Hold(device.Down, heldBack)
	v, err := d.scan(annsCard)
	if err != nil || v.Verdict != wire.Retry {
		t.Fatalf("got %+v, %v, want retry", v, err)
	}
	for _, view := range d.gw.Views() {
		if view.Device == d.lockID && view.Known {
			t.Errorf("after a lost receipt the state is %+v, want unknown", view.State)
		}
	}
	<-over
	d.quiet(0)
	if got := d.timelines()[0].Outcome; got != audit.OutcomeUnknown {
		t.Errorf("got outcome %q, want unknown", got)
	}
	d.works(t)
}

func TestStalledDiskOpensNothing(t *testing.T) {
	t.Parallel()
	var stall atomic.Bool
	d := newDoor(t, store.Options{BeforeCommit: func() {
		if stall.CompareAndSwap(true, false) {
			time.Sleep(heldBack)
		}
	}})
	d.connect(d.addr, d.addr)
	stall.Store(true)
	v, err := d.scan(annsCard)
	if code := (*device.CodeError)(nil); !errors.As(err, &code) || code.Code != codes.ServiceUnavailable ||
		code.Why != "not decided in time" {
		t.Fatalf("got %+v, %v, want 5.03 and no silence", v, err)
	}
	if n := len(d.timelines()); n != 0 {
		t.Errorf("got %d attempts over, want the answer before", n)
	}
	if n := d.reader.Sessions(); n != 1 {
		t.Errorf("got %d sessions, want the reader's first to go on", n)
	}
	eventually(t, "the decision is durable", 10*time.Second, func() bool { return len(d.timelines()) == 1 })
	d.quiet(0)
	if tl := d.timelines()[0]; !tl.Decision.Granted || tl.Outcome != audit.OutcomeLate {
		t.Errorf("got %+v, want granted and late", tl)
	}
	d.works(t)
}

// rawClient is a reader that a test controls fully. It sends late scans and wrong ages if the test
// says so.
type rawClient struct {
	t    *testing.T
	conn *transport.Conn
	held coapres.Held
}

func (d *door) client(addr string) *rawClient {
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

func (c *rawClient) post(path string, echo []byte, body []byte, within time.Duration) (coapres.Answer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	return coapres.Call(ctx, c.conn, &c.held, coapres.Request{Method: codes.POST, Path: path, Echo: echo,
		Format: wire.CBOR, Body: body})
}

// scan sends a scan with an Echo and an age of the caller's choice.
func (c *rawClient) scan(n uint64, uid, echo []byte, age int32) (codes.Code, wire.Verdict) {
	c.t.Helper()
	b, err := wire.Scan{N: n, UID: uid, Age: age}.Encode(wire.CBOR)
	if err != nil {
		c.t.Fatal(err)
	}
	a, err := c.post("/scan", echo, b, 10*time.Second)
	if err != nil {
		c.t.Fatal(err)
	}
	v, _ := wire.ParseVerdict(wire.CBOR, a.Body)
	return a.Code, v
}

// echo returns a fresh Echo of the gateway's.
func (c *rawClient) echo() []byte {
	c.t.Helper()
	if _, err := c.post("/rd", nil, nil, 5*time.Second); err != nil {
		c.t.Fatal(err)
	}
	e, _ := c.held.Age(time.Now(), time.Now())
	return e
}

// A node without an Echo taps; the answer that brings one is held back. The client then repeats by
// itself, and tells the truth about its age: the tap was before the Echo.
func TestEchoHeldBackOpensNothing(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	r := relay(t, d.addr)
	d.lock = d.node("front-lock", keys.KindLock, d.lockKey, d.addr)
	d.settled()
	c := d.client(r.Addr())
	_, over := r.Hold(device.Down, heldBack)
	tapped := time.Now()
	if code, _ := c.scan(1, annsCard, nil, 0); code != codes.Unauthorized {
		t.Fatalf("without an Echo: got %s, want 4.01", code)
	}
	<-over
	if got := time.Since(tapped); got < heldBack {
		t.Fatalf("the Echo came after %v, so nothing was held back", got)
	}
	for range 3 { // repeats of the same intent, each with the newest Echo
		echo, age := c.held.Age(tapped, time.Now())
		if code, _ := c.scan(1, annsCard, echo, age); code != codes.Unauthorized {
			t.Fatalf("repeat: got %s, want 4.01", code)
		}
	}
	d.quiet(0)
	echo, age := c.held.Age(time.Now(), time.Now())
	if code, v := c.scan(1, annsCard, echo, age); code != codes.Changed || v.Verdict != wire.Granted {
		t.Fatalf("a new tap: got %s %+v, want granted", code, v)
	}
}

func TestLiesAndReplays(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	d.lock = d.node("front-lock", keys.KindLock, d.lockKey, d.addr)
	d.settled()
	c := d.client(d.addr)
	echo := c.echo()
	refused := func(rule string, want, got codes.Code) {
		t.Helper()
		if got != want {
			t.Errorf("%s: got %s, want %s", rule, got, want)
		}
	}
	code, _ := c.scan(1, annsCard, echo, 60_000)
	refused("an age that says the tap is still to come", codes.Unauthorized, code)
	code, _ = c.scan(1, annsCard, c.echo(), -4000)
	refused("an age that says the tap was 4 s ago", codes.Unauthorized, code)
	code, _ = c.scan(1, annsCard, c.echo(), -60_001)
	refused("an impossible age", codes.BadRequest, code)
	code, _ = c.scan(1, annsCard, []byte("12345678"), 0)
	refused("an Echo that nobody issued", codes.Unauthorized, code)
	old := c.echo()
	for range 4 {
		c.echo()
	}
	code, _ = c.scan(1, annsCard, old, 0)
	refused("the fifth Echo back", codes.Unauthorized, code)
	d.quiet(0)

	code, v := c.scan(7, annsCard, c.echo(), 0)
	if code != codes.Changed || v != (wire.Verdict{Verdict: wire.Granted, Last: 7}) {
		t.Fatalf("a true scan: got %s %+v, want granted", code, v)
	}
	if code, v = c.scan(7, annsCard, c.echo(), 0); code != codes.Changed || v.Verdict != wire.Granted {
		t.Errorf("the same intent again: got %s %+v, want the same verdict", code, v)
	}
	if code, v = c.scan(7, []byte{9, 9, 9, 9}, c.echo(), 0); code != codes.Changed ||
		v != (wire.Verdict{Last: 7}) {
		t.Errorf("the same counter with another card: got %s %+v, want denied", code, v)
	}
	if code, v = c.scan(6, annsCard, c.echo(), 0); code != codes.Changed || v != (wire.Verdict{Last: 7}) {
		t.Errorf("an older counter: got %s %+v, want denied", code, v)
	}
	if got := d.lock.Moves(); got != 1 {
		t.Errorf("the lock moved %d times, want once", got)
	}
	mine := c.echo()
	other := d.client(d.addr) // a newer session of the same device
	code, _ = other.scan(8, annsCard, mine, 0)
	refused("an Echo of another association", codes.Unauthorized, code)
	if got := d.lock.Moves(); got != 1 {
		t.Errorf("the lock moved %d times, want once", got)
	}
}
