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

// cycles is how often a node loses its power or its port.
const cycles = 20

// powerReader starts the door's reader behind a router. The function that it returns cuts the
// reader's power, so no close_notify is sent.
func (d *door) powerReader(r *router) (off func()) {
	d.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	d.reader = device.New(device.Config{Name: "front-reader", Kind: keys.KindReader, Gateway: r.addr(),
		Identity: d.readerKey.ID,
		Secret:   d.readerKey.Secret, Counter: d.readerCounter(), Retry: 50 * time.Millisecond})
	reader, done := d.reader, make(chan struct{})
	go func() {
		defer close(done)
		if err := reader.Run(ctx); err != nil {
			d.t.Errorf("reader: %v", err)
		}
	}()
	off = func() { r.cutPower(); cancel(); <-done }
	return off
}

// readerCounter returns the counter that the reader keeps in its flash.
func (d *door) readerCounter() uint64 {
	if d.reader == nil {
		return 0
	}
	return d.reader.Counter()
}

// tapUntilGranted taps until the door opens. Usually the first tap opens it. On a busy machine a
// verdict may take longer than a scan stays fresh, so one tap in five may be repeated; a reader
// that the gateway does not serve would need more.
func (d *door) tapUntilGranted(rule string, began time.Time) {
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

// A reader that lost its power comes back on the same port while the gateway still has its old
// session. It opens the door at once.
func TestReaderLosesPower(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	d.lock = d.runNode("front-lock", keys.KindLock, d.lockKey, d.addr)
	d.awaitLockState()
	r := newRouter(t, d.addr, 0)
	for range cycles + 1 {
		began := time.Now()
		off := d.powerReader(r)
		d.tapUntilGranted("with power", began)
		off()
	}
}

// The same while an attacker forges ClientHellos from the reader's address, near and far from the
// gateway.
func TestReaderLosesPowerUnderForgedHellos(t *testing.T) {
	t.Parallel()
	for name, far := range map[string]time.Duration{"near": 0, "60 ms away": 60 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDoor(t, store.Options{})
			d.lock = d.runNode("front-lock", keys.KindLock, d.lockKey, d.addr)
			d.awaitLockState()
			r := newRouter(t, d.addr, far)
			off := d.powerReader(r)
			d.tapUntilGranted("before", time.Now())
			began, stop := time.Now(), r.forgeHellos()
			for i := range 5 {
				off()
				back := time.Now()
				off = d.powerReader(r)
				ready, cancel := context.WithTimeout(context.Background(), 30*time.Second)
				if err := d.reader.Ready(ready); err != nil {
					t.Errorf("power cycle %d: no session within 30 s: %v", i, err)
				}
				d.tapUntilGranted("under forged hellos", back)
				cancel()
			}
			n := stop()
			if rate := float64(n) / time.Since(began).Seconds(); rate < 500 {
				t.Errorf("only %.0f hellos a second were forged, which shows little", rate)
			}
			off()
		})
	}
}

// When the port of a reader changes in the middle of a session, the session continues: the gateway
// finds it by its connection ID.
func TestReadersPortChanges(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	r := newRouter(t, d.addr, 0)
	d.connectNodes(r.addr(), d.addr)
	pace := time.NewTicker(120 * time.Millisecond) // below a reader's limit of ten requests a second
	defer pace.Stop()
	for range cycles {
		r.rebind(t)
		d.tapUntilGranted("from a new port", time.Now())
		<-pace.C
	}
	if got := d.reader.Sessions(); got != 1 {
		t.Errorf("got %d sessions, want the first to continue", got)
	}
}

// When the port of a lock has changed, the gateway reads its state after its next message. So the
// next command has a proven address and a fresh Echo.
func TestLocksPortChanges(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	r := newRouter(t, d.addr, 0)
	d.connectNodes(d.addr, r.addr())
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
		if err := d.lock.Report(ctx, wire.Report{Measurements: []wire.Measurement{makeFlag("tamper",
			false)}}); err != nil {
			t.Error(err)
		}
		cancel()
		eventually(t, "the gateway reads its state at the new address", 5*time.Second,
			func() bool { return read().After(before) })
		if d.tapUntilGranted("a lock at a new port", time.Now()); d.lock.Moves() != i+1 {
			t.Errorf("after change %d: the lock moved %d times, want one more than before", i, d.lock.Moves())
		}
		eventually(t, "the door is shut again", 5*time.Second, func() bool { return !d.lock.State().On })
	}
	if got := d.lock.Sessions(); got != 1 {
		t.Errorf("got %d sessions, want the first to continue", got)
	}
}

// Stock clients have no connection ID. OpenSSL's is killed and comes back on the same port.
// libcoap's go through a router, which drops their close_notify.
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
			ask := func() string { return d.askAndKill(t, d.addr, "-bind", free.LocalAddr().String()) }
			if name != "openssl" {
				c := d.stockClient(name, d.readerKey)
				c.addr = newRouter(t, d.addr, 0).addr()
				ask = func() string { return c.sendRequest("/.well-known/core") }
			}
			for i := range cycles + 1 {
				began := time.Now()
				got := ask()
				if took := time.Since(began); took > 10*time.Second || !strings.Contains(got, "</scan>") {
					t.Errorf("power cycle %d: got %q after %v, want an answer at once", i, got, took)
				}
				d.wantOneSession(fmt.Sprintf("after power cycle %d", i))
			}
		})
	}
}

// askAndKill requests the gateway's resources through openssl s_client, kills it when the answer
// has come or after a minute, and returns what it printed.
func (d *door) askAndKill(t *testing.T, addr string, args ...string) string {
	t.Helper()
	cmd, in, out := sClient(t, addr, d.readerKey, append(args, "-cipher", ourSuites[0]+":@SECLEVEL=0")...)
	limit := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer limit.Stop()
	answered := make(chan struct{})
	defer close(answered)
	go func() { // it retransmits the confirmable request
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

// wantOneSession checks that the gateway has one session, that of the node that lost its power.
func (d *door) wantOneSession(rule string) {
	d.t.Helper()
	if got := d.readMetric("latchkey_sessions"); got != 1 {
		d.t.Errorf("%s: got %d sessions, want the one of the dead node", rule, got)
	}
}

// fewest is the least number of datagrams each way of a handshake and a request.
var fewest = [2]int{4, 3}

// If any one datagram of a handshake or of the first request is lost, in either direction, the node
// still connects, by its retransmissions or ours.
func TestHandshakeSurvivesALoss(t *testing.T) {
	t.Parallel()
	for _, name := range append([]string{"latchkey", "openssl"}, stockClients...) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			each := loseOneDatagram(t, name, 0, 0)
			if each[0] < fewest[0] || each[1] < fewest[1] {
				t.Fatalf("got %v datagrams, want a handshake and a request", each)
			}
			for way, direction := range []string{"to the gateway", "to the node"} {
				for i := range each[way] {
					t.Run(fmt.Sprintf("datagram %d %s", i+1, direction), func(t *testing.T) {
						t.Parallel()
						loseOneDatagram(t, name, way, i+1)
					})
				}
			}
		})
	}
}

// loseOneDatagram connects a client while the network loses the datagram with this number, and
// returns how many were sent each way. The number 0 loses none.
func loseOneDatagram(t *testing.T, name string, way, number int) (datagrams [2]int) {
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
		d.lock = d.runNode("front-lock", keys.KindLock, d.lockKey, d.addr)
		d.awaitLockState()
		off := d.powerReader(r)
		d.tapUntilGranted("with one loss", began)
		off()
	case "openssl":
		got = d.askAndKill(t, r.addr())
	default:
		c := d.stockClient(name, d.readerKey)
		c.addr = r.addr()
		got = c.sendRequest("/.well-known/core")
	}
	if name != "latchkey" && !strings.Contains(got, "</scan>") {
		t.Errorf("got %q, want an answer", got)
	}
	if took := time.Since(began); took > 40*time.Second {
		t.Errorf("connected after %v, want it after one or two retransmissions", took)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	// On a busy machine the counts may include retransmissions.
	if number > r.count[way] && number <= fewest[way] {
		t.Errorf("only %d datagrams were sent, so none was lost", r.count[way])
	}
	return r.count
}
