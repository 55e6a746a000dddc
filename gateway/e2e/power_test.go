package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"latchkey/coapres/device"
	"latchkey/coapres/wire"
	"latchkey/gateway/store"
	"latchkey/keys"
)

// cycles is how often a node loses its power, or its port.
const cycles = 20

// power gives the reader of a door its power, through a router. The function that it returns takes
// it away, without a goodbye.
func (d *door) power(r *router) (off func()) {
	d.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	d.reader = device.New(device.Config{Name: "front-reader", Kind: keys.KindReader, Gateway: r.addr(),
		Identity: d.readerKey.ID,
		Secret:   d.readerKey.Secret, Counter: d.counter(), Retry: 50 * time.Millisecond})
	reader, done := d.reader, make(chan struct{})
	go func() {
		defer close(done)
		if err := reader.Run(ctx); err != nil {
			d.t.Errorf("reader: %v", err)
		}
	}()
	off = func() { r.off(); cancel(); <-done }
	return off
}

// counter is what the reader keeps in its flash.
func (d *door) counter() uint64 {
	if d.reader == nil {
		return 0
	}
	return d.reader.Counter()
}

// granted taps until the door opens, which it does at the first tap: on a busy machine, where a
// verdict may take longer than a tap is good for, one in five may need another. A node that is
// locked out needs more.
func (d *door) granted(rule string, began time.Time) {
	d.t.Helper()
	d.taps++
	v, err := d.scan(annsCard)
	for range 2 {
		if err == nil && v.Verdict == wire.Granted {
			return
		}
		d.taps, d.again = d.taps+1, d.again+1
		d.t.Logf("%s: got %+v, %v after %v; once more", rule, v, err, time.Since(began))
		v, err = d.scan(annsCard)
	}
	if took := time.Since(began); err != nil || v.Verdict != wire.Granted || d.again > 1+d.taps/5 {
		d.t.Errorf("%s: got %+v, %v after %v; %d of %d taps had to be repeated", rule, v, err, took, d.again,
			d.taps)
	}
}

// A reader that lost its power comes back on its port while the gateway still has its session, and
// opens the door at once.
func TestReaderLosesPower(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	d.lock = d.node("front-lock", keys.KindLock, d.lockKey, d.addr)
	d.settled()
	r := newRouter(t, d.addr, 0)
	for range cycles + 1 {
		began := time.Now()
		off := d.power(r)
		d.granted("with power", began)
		off()
	}
}

// The same while somebody forges hellos from the reader's address, and the radio is slow.
func TestReaderLosesPowerUnderForgedHellos(t *testing.T) {
	t.Parallel()
	for name, far := range map[string]time.Duration{"near": 0, "60 ms away": 60 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDoor(t, store.Options{})
			d.lock = d.node("front-lock", keys.KindLock, d.lockKey, d.addr)
			d.settled()
			r := newRouter(t, d.addr, far)
			off := d.power(r)
			d.granted("before", time.Now())
			began, stop := time.Now(), r.forge()
			for i := range 5 {
				off()
				back := time.Now()
				off = d.power(r)
				ready, cancel := context.WithTimeout(context.Background(), 30*time.Second)
				if err := d.reader.Ready(ready); err != nil {
					t.Errorf("power cycle %d: not back within 30 s: %v", i, err)
				}
				d.granted("under forged hellos", back)
				cancel()
			}
			n := stop()
			if rate := float64(n) / time.Since(began).Seconds(); rate < 500 {
				t.Errorf("only %.0f hellos a second were forged, so little is shown", rate)
			}
			off()
		})
	}
}

// A reader whose port changes in the middle of a session goes on in it: the connection ID says who
// it is.
func TestReadersPortChanges(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	r := newRouter(t, d.addr, 0)
	d.connect(r.addr(), d.addr)
	pace := time.NewTicker(120 * time.Millisecond) // ten requests a second are a reader's rate
	defer pace.Stop()
	for range cycles {
		r.rebind(t)
		d.granted("from a new port", time.Now())
		<-pace.C
	}
	if got := d.reader.Sessions(); got != 1 {
		t.Errorf("got %d sessions, want the first to go on", got)
	}
}

// A lock whose port changed has its state read as soon as it speaks, so that the next command finds
// a proven address, and a fresh Echo.
func TestLocksPortChanges(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	r := newRouter(t, d.addr, 0)
	d.connect(d.addr, r.addr())
	read := func() time.Time {
		for _, v := range d.gw.Views() {
			if v.Device == d.lockID {
				return v.StateAt
			}
		}
		return time.Time{}
	}
	for i := range 3 {
		before := read()
		r.rebind(t)
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		if err := d.lock.Report(ctx, wire.Report{Measurements: []wire.Measurement{flag("tamper",
			false)}}); err != nil {
			t.Error(err)
		}
		cancel()
		eventually(t, "its state is read from its new address", 5*time.Second,
			func() bool { return read().After(before) })
		if d.granted("a lock at a new port", time.Now()); d.lock.Moves() != i+1 {
			t.Errorf("move %d: the lock moved %d times", i, d.lock.Moves())
		}
		eventually(t, "the door is shut again", 5*time.Second, func() bool { return !d.lock.State().On })
	}
	if got := d.lock.Sessions(); got != 1 {
		t.Errorf("got %d sessions, want the first to go on", got)
	}
}

// Stock clients have no connection ID. OpenSSL's is killed on a port and comes back on it;
// libcoap's go through a router, which loses their goodbyes.
func TestStockClientsLosePower(t *testing.T) {
	t.Parallel()
	for _, name := range append([]string{"openssl"}, stockClients...) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDoor(t, store.Options{})
			free, err := net.ListenPacket("udp", "127.9.9.9:0")
			if err != nil {
				t.Fatal(err)
			}
			_ = free.Close()
			ask := func() string { return d.asksAndDies(t, d.addr, "-bind", free.LocalAddr().String()) }
			if name != "openssl" {
				c := d.stock(name, d.readerKey)
				c.addr = newRouter(t, d.addr, 0).addr()
				ask = func() string { return c.call("/.well-known/core") }
			}
			for i := range cycles + 1 {
				began := time.Now()
				got := ask()
				if took := time.Since(began); took > 10*time.Second || !strings.Contains(got, "</scan>") {
					t.Errorf("power cycle %d: got %q after %v, want an answer at once", i, got, took)
				}
				d.remains(fmt.Sprintf("after power cycle %d", i))
			}
		})
	}
}

// asksAndDies has openssl s_client ask for the gateway's resources, kills it when it has an answer,
// or after a minute, and returns what it printed.
func (d *door) asksAndDies(t *testing.T, addr string, args ...string) string {
	t.Helper()
	cmd, in, out := sClient(t, addr, d.readerKey, append(args, "-cipher", ourSuites[0]+":@SECLEVEL=0")...)
	limit := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer limit.Stop()
	answered := make(chan struct{})
	defer close(answered)
	go func() { // a confirmable request is repeated
		for {
			_, _ = io.WriteString(in, "\x40\x01\x00\x01\xbb.well-known\x04core") // CON GET /.well-known/core
			select {
			case <-answered:
				return
			case <-time.After(time.Second):
			}
		}
	}()
	var printed []byte
	for buf := make([]byte, 2048); !strings.Contains(string(printed), "</scan>"); {
		n, err := out.Read(buf)
		if printed = append(printed, buf[:n]...); err != nil {
			break
		}
	}
	_ = cmd.Process.Kill() // no close_notify
	_ = cmd.Wait()
	return string(printed)
}

// remains checks that the gateway has one session: that of the node that has lost its power.
func (d *door) remains(rule string) {
	d.t.Helper()
	if got := d.metric("latchkey_sessions"); got != 1 {
		d.t.Errorf("%s: got %d sessions, want one of a node that is dead", rule, got)
	}
}

// fewest are the datagrams each way of a handshake and a request.
var fewest = [2]int{4, 3}

// If any one datagram of a handshake or of the first request is lost, in either direction, the node
// still connects, by its retransmissions or ours.
func TestHandshakeSurvivesALoss(t *testing.T) {
	t.Parallel()
	for _, name := range append([]string{"latchkey", "openssl"}, stockClients...) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			each := losesOne(t, name, 0, 0)
			if each[0] < fewest[0] || each[1] < fewest[1] {
				t.Fatalf("got %v datagrams, want a handshake and a request", each)
			}
			for way, direction := range []string{"to the gateway", "to the node"} {
				for i := range each[way] {
					t.Run(fmt.Sprintf("datagram %d %s", i+1, direction), func(t *testing.T) {
						t.Parallel()
						losesOne(t, name, way, i+1)
					})
				}
			}
		})
	}
}

// losesOne has a client come in while the datagram of that number is lost, and returns how many
// went each way.
func losesOne(t *testing.T, name string, way, number int) (datagrams [2]int) {
	t.Helper()
	d := newDoor(t, store.Options{})
	r := newRouter(t, d.addr, 0)
	r.mu.Lock()
	r.lose[way] = number
	r.mu.Unlock()
	began := time.Now()
	got := ""
	switch name {
	case "latchkey":
		d.lock = d.node("front-lock", keys.KindLock, d.lockKey, d.addr)
		d.settled()
		off := d.power(r)
		d.granted("with one loss", began)
		off()
	case "openssl":
		got = d.asksAndDies(t, r.addr())
	default:
		c := d.stock(name, d.readerKey)
		c.addr = r.addr()
		got = c.call("/.well-known/core")
	}
	if name != "latchkey" && !strings.Contains(got, "</scan>") {
		t.Errorf("got %q, want an answer", got)
	}
	if took := time.Since(began); took > 40*time.Second {
		t.Errorf("came in after %v, want a repeat or two", took)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if number > r.count[way] && number <= fewest[way] { // a busy machine may have counted a repeat
		t.Errorf("only %d datagrams went, so none was lost", r.count[way])
	}
	return r.count
}
