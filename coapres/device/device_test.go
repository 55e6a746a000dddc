package device_test

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/message/pool"
	"go.uber.org/goleak"

	"latchkey/coapres"
	"latchkey/coapres/device"
	"latchkey/coapres/transport"
	"latchkey/coapres/wire"
	"latchkey/keys"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// post is a gateway for one node: it accepts the node's registrations, and the test sends commands
// to it.
type post struct {
	t        *testing.T
	addr     string
	identity keys.ID
	secret   keys.Secret
	peers    chan *coapres.Peer
	end      func()

	mu     sync.Mutex
	scan   func() (wire.Verdict, error) // guarded by mu
	scans  []uint64                     // guarded by mu; the counters of the scans so far
	member []byte                       // guarded by mu; if set, appended to each verdict
}

func newPost(t *testing.T) *post {
	p := &post{t: t, addr: "127.0.0.1:0", identity: keys.NewID(), secret: keys.NewSecret(),
		peers: make(chan *coapres.Peer, 8)}
	p.startGateway()
	t.Cleanup(func() { p.end() })
	return p
}

func (p *post) startGateway() {
	l, err := transport.Listen(transport.Config{Addr: p.addr,
		PSK: func([]byte) []byte { return p.secret.PSK() }})
	if err != nil {
		p.t.Fatal(err)
	}
	p.addr = l.Addr().String()
	server := &coapres.Server{Calls: p, Log: slog.New(slog.DiscardHandler)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- l.Serve(ctx, func(c *transport.Conn, req, resp *pool.Message, at time.Time) {
			server.Serve(c.Context(), c.Peer().(*coapres.Peer), req, resp, at)
			p.addMember(resp)
		}, func(c *transport.Conn) error {
			c.SetPeer(coapres.NewPeer("d", "node", keys.KindReader, p.identity,
				c.RemoteAddr().String(), c))
			return nil
		}, func(*transport.Conn) {})
	}()
	p.end = func() {
		cancel()
		if err := <-done; err != nil {
			p.t.Error(err)
		}
		if err := l.Close(); err != nil {
			p.t.Error(err)
		}
		p.end = func() {}
	}
}

func (p *post) Scan(_ context.Context, _ *coapres.Peer, s wire.Scan, _ time.Time) (wire.Verdict, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.scans = append(p.scans, s.N)
	if p.scan != nil {
		return p.scan()
	}
	return wire.Verdict{Verdict: wire.Granted, Last: 1}, nil
}
func (p *post) Act(context.Context, *coapres.Peer, string, wire.Act, time.Time) (wire.Verdict, error) {
	return wire.Verdict{}, nil
}
func (p *post) State(*coapres.Peer, string) (wire.State, error) {
	return wire.State{}, coapres.ErrNotFound
}
func (p *post) Late(*coapres.Peer, uint64, time.Duration) {}

func (p *post) Registered(peer *coapres.Peer, _ time.Duration) { p.peers <- peer }
func (p *post) Left(*coapres.Peer)                             {}
func (p *post) Report(*coapres.Peer, wire.Report, bool)        {}
func (p *post) Targets(*coapres.Peer) []string                 { return nil }

// listCounters returns the counters of the scans so far, in their order.
func (p *post) listCounters() []uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.scans)
}

// setAnswer sets the function that decides scans from now on.
func (p *post) setAnswer(f func() (wire.Verdict, error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.scan = f
}

// runNode runs a device and returns it with the gateway's end of its association.
func (p *post) runNode(cfg device.Config, addr string) (*device.Device, *coapres.Peer) {
	p.t.Helper()
	cfg.Gateway, cfg.Identity, cfg.Secret, cfg.Retry = addr, p.identity, p.secret, 20*time.Millisecond
	d := device.New(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = d.Run(ctx) }() // returns nil when ctx ends
	p.t.Cleanup(func() { cancel(); <-done })
	peer := p.awaitPeer()
	ready, stop := context.WithTimeout(context.Background(), 15*time.Second)
	defer stop()
	if err := d.Ready(ready); err != nil {
		p.t.Fatal(err)
	}
	return d, peer
}

func (p *post) awaitPeer() *coapres.Peer {
	p.t.Helper()
	select {
	case peer := <-p.peers:
		return peer
	case <-time.After(15 * time.Second):
		p.t.Fatal("no registration")
		return nil
	}
}

func sendCommand(peer *coapres.Peer, cmd wire.Command) (wire.Receipt, error) {
	return coapres.Actuate(context.Background(), peer, coapres.Command{Command: cmd, Intent: time.Now()})
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-deadline:
			t.Fatal("not in time: " + what)
		case <-tick.C:
		}
	}
}

func TestLock(t *testing.T) {
	p := newPost(t)
	changes := make(chan wire.State, 16)
	d, peer := p.runNode(device.Config{Kind: keys.KindLock, MaxPulse: 300 * time.Millisecond,
		Changed: func(s wire.State) { changes <- s }}, p.addr)
	d.SetContact(wire.ContactClosed)

	began := time.Now()
	r, err := sendCommand(peer, wire.Command{ID: 5, Action: wire.Unlock, Duration: 60_000})
	if err != nil || r.Result != wire.Done || !r.On || r.Left == 0 || r.Left > 300 || r.ID != 5 ||
		r.Contact != wire.ContactClosed {
		t.Fatalf("unlock: got %+v, %v", r, err)
	}
	again, err := sendCommand(peer, wire.Command{ID: 5, Action: wire.Unlock, Duration: 60_000})
	if err != nil || again != r || d.Moves() != 1 {
		t.Errorf("the same id: got %+v, %v and %d moves, want the same receipt and one move", again, err,
			d.Moves())
	}
	if r, err := sendCommand(peer, wire.Command{ID: 4, Action: wire.Lock}); !errors.Is(err,
		coapres.ErrNotObeyed) || r.Result != wire.Refused || !d.State().On {
		t.Errorf("a lower id: got %+v, %v, want refused", r, err)
	}
	eventually(t, "the pulse ends at the lock's own limit", func() bool { return !d.State().On })
	if took := time.Since(began); took < 250*time.Millisecond || took > 20*time.Second {
		t.Errorf("the pulse took %v, want 300 ms, whatever the command said", took)
	}
	if first, second := <-changes, <-changes; !first.On || second.On {
		t.Errorf("Changed was called with %+v and %+v, want on and off", first, second)
	}
	for _, a := range []wire.Action{wire.On, wire.Off} {
		_, err := sendCommand(peer, wire.Command{ID: 10, Action: a})
		if !errors.Is(err, coapres.ErrNotObeyed) {
			t.Errorf("%s at a lock: got %v, want not obeyed", a, err)
		}
	}
	if r, err := sendCommand(peer, wire.Command{ID: 11, Action: wire.Unlock, Duration: 60_000}); err != nil ||
		!r.On {
		t.Errorf("the next: got %+v, %v", r, err)
	}
	if r, err := sendCommand(peer, wire.Command{ID: 12, Action: wire.Lock}); err != nil || r.On ||
		d.State().Left != 0 {
		t.Errorf("lock ends a pulse: got %+v, %v", r, err)
	}
}

// A node sends from the address that it is told, also after its session was lost.
func TestSource(t *testing.T) {
	p := newPost(t)
	const source = "127.9.8.7"
	d, peer := p.runNode(device.Config{Kind: keys.KindReader, Source: netip.MustParseAddr(source)}, p.addr)
	d.Drop()
	for _, peer := range []*coapres.Peer{peer, p.awaitPeer()} {
		if !strings.HasPrefix(peer.Addr, source+":") {
			t.Errorf("got a session from %s, want one from %s", peer.Addr, source)
		}
	}
}

func TestStaleCommandMovesNothing(t *testing.T) {
	p := newPost(t)
	d, peer := p.runNode(device.Config{Kind: keys.KindLock}, p.addr)
	if _, err := coapres.ReadState(context.Background(), peer); err == nil {
		t.Fatal("ReadState without a deadline: got no error")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, c := range []struct {
		rule string
		echo string // empty: the node's newest
		age  int32
		want codes.Code
	}{
		{"an Echo of a wrong length", "x", 0, codes.Unauthorized},
		{"an Echo that the node did not issue", "12345678", 0, codes.Unauthorized},
		{"an intent 2 s ago", "", -2000, codes.Unauthorized},
		{"an intent in the future", "", 60_000, codes.Unauthorized},
		{"an impossible age", "", -60_001, codes.BadRequest},
		{"fresh", "", 0, codes.Changed},
	} {
		if _, err := coapres.ReadState(ctx, peer); err != nil {
			t.Fatal(err)
		}
		echo, _ := peer.Held.Age(time.Now(), time.Now())
		if c.echo != "" {
			echo = []byte(c.echo)
		}
		b, err := wire.Command{ID: 1, Action: wire.Unlock, Duration: 1000, Age: c.age}.Encode(wire.CBOR)
		if err != nil {
			t.Fatal(err)
		}
		var held coapres.Held
		a, err := coapres.Call(ctx, peer.Caller, &held, coapres.Request{Method: codes.POST, Path: "/act",
			Echo: echo, Format: wire.CBOR, Body: b})
		if err != nil || a.Code != c.want {
			t.Errorf("%s: got %s, %v, want %s", c.rule, a.Code, err, c.want)
		}
		if moved := d.Moves() == 1; moved != (c.want == codes.Changed) {
			t.Errorf("%s: moved %v", c.rule, moved)
		}
	}
}

func TestLamp(t *testing.T) {
	p := newPost(t)
	d, peer := p.runNode(device.Config{Kind: keys.KindLamp}, p.addr)
	for i, c := range []struct {
		cmd  wire.Command
		want wire.State
	}{
		{wire.Command{Action: wire.On}, wire.State{On: true, Level: 100}},
		{wire.Command{Action: wire.Level, Level: 40}, wire.State{On: true, Level: 40}},
		{wire.Command{Action: wire.Level, Level: 0}, wire.State{}},
		{wire.Command{Action: wire.On}, wire.State{On: true, Level: 100}},
		{wire.Command{Action: wire.Off}, wire.State{}},
	} {
		c.cmd.ID = uint64(i + 1)
		c.want.ID = c.cmd.ID
		if r, err := sendCommand(peer, c.cmd); err != nil || r.State != c.want {
			t.Errorf("%v %d: got %+v, %v, want %+v", c.cmd.Action, c.cmd.Level, r, err, c.want)
		}
	}
	if _, err := sendCommand(peer, wire.Command{ID: 99, Action: wire.Unlock, Duration: 1000}); !errors.Is(err,
		coapres.ErrNotObeyed) || d.State().On {
		t.Errorf("unlock at a lamp: got %v, want not obeyed", err)
	}
}

func TestReaderHasNothingToCommand(t *testing.T) {
	p := newPost(t)
	_, peer := p.runNode(device.Config{Kind: keys.KindReader}, p.addr)
	_, err := sendCommand(peer, wire.Command{ID: 1, Action: wire.On})
	if !errors.Is(err, coapres.ErrNotObeyed) {
		t.Errorf("got %v, want not obeyed", err)
	}
}

func TestScanStopsThreeSecondsAfterTheTap(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	r, err := device.NewRelay(p.addr, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	d, _ := p.runNode(device.Config{Kind: keys.KindReader}, r.Addr())
	r.Impair(device.Impairment{Loss: 1})
	began := time.Now()
	_, err = d.Scan(context.Background(), []byte{1, 2, 3, 4})
	if took := time.Since(began); !errors.Is(err, device.ErrNoVerdict) || took < 2900*time.Millisecond ||
		took > 30*time.Second {
		t.Errorf("got %v after %v, want no verdict after 3 s", err, took)
	}
	r.Impair(device.Impairment{})
	p.awaitPeer() // the node reconnects by itself
	eventually(t, "the next tap works", func() bool {
		v, err := d.Scan(context.Background(), []byte{1, 2, 3, 4})
		return err == nil && v.Verdict == wire.Granted
	})
}

func TestReconnectsToARestartedGateway(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	d, _ := p.runNode(device.Config{Kind: keys.KindReader}, p.addr)
	p.end()
	p.startGateway()
	p.awaitPeer()
	eventually(t, "the node is registered a second time", func() bool { return d.Sessions() == 2 })
}

func TestCounterIsCorrected(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	asked := 0
	p.setAnswer(func() (wire.Verdict, error) {
		if asked++; asked == 1 {
			return wire.Verdict{Last: 41}, nil
		}
		return wire.Verdict{Verdict: wire.Granted, Last: 42}, nil
	})
	d, _ := p.runNode(device.Config{Kind: keys.KindReader, Counter: 3}, p.addr)
	v, err := d.Scan(context.Background(), []byte{1, 2, 3, 4})
	if scans := p.listCounters(); err != nil || v.Verdict != wire.Granted || d.Counter() != 42 ||
		!slices.Equal(scans, []uint64{4, 42}) {
		t.Errorf("got %+v, %v with counter %d after %d, want granted with 42 after 4 and 42", v, err,
			d.Counter(), scans)
	}
	p.setAnswer(func() (wire.Verdict, error) { return wire.Verdict{}, errors.New("the disk is full") })
	var code *device.CodeError
	if _, err := d.Scan(context.Background(), []byte{1, 2, 3, 4}); !errors.As(err, &code) ||
		code.Code != codes.ServiceUnavailable {
		t.Errorf("got %v, want 5.03", err)
	}
}
