package transport

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/plgd-dev/go-coap/v3/message/pool"
	"go.uber.org/goleak"

	"latchkey/coapres/transport/record"
	"latchkey/keys"
)

func TestIdentityIsProven(t *testing.T) {
	s := listen(t, Config{}, echo)
	c := s.dial(t, nil)
	if got := within(t, s.opened).Identity(); got != string(known) {
		t.Errorf("got %q, want %q", got, known)
	}
	if got, err := post(c, "hello", 5*time.Second); err != nil || got != "hello" {
		t.Errorf("got %q, %v", got, err)
	}
	_ = c.End()
	within(t, s.closed)
	eventually(t, "the session is counted out", func() bool { return s.Sessions() == 0 })
	if got := s.failures(); len(got) != 0 {
		t.Errorf("got failures %v, want none", got)
	}
}

// A wrong key and an unknown identity fail alike: the same datagrams, then silence.
func TestWrongKeyAndUnknownIdentityLookAlike(t *testing.T) {
	s := listen(t, Config{Handshake: 700 * time.Millisecond}, echo)
	n := newNAT(t, s.Addr())
	var sizes [2][]int
	for i, tc := range []struct {
		id     keys.ID
		secret keys.Secret
	}{{known, keys.NewSecret()}, {"lk-zzzzzzzzzz", keys.NewSecret()}} {
		ctx, cancel := context.WithTimeout(context.Background(), 600*time.Millisecond)
		c, err := Dial(ctx, n.addr(), tc.id, tc.secret, nil)
		cancel()
		if err == nil {
			_ = c.End()
			t.Fatalf("%s: a wrong key opened a session", tc.id)
		}
		if strings.Contains(err.Error(), tc.secret.Reveal()) {
			t.Error("the error shows the key")
		}
		eventually(t, "the failure is told", func() bool { return len(s.failures()) == i+1 })
		sizes[i] = n.heard()
	}
	if len(sizes[0]) < 2 || !slices.Equal(sizes[0], sizes[1]) {
		t.Errorf("got datagrams of %v and %v bytes, want the same", sizes[0], sizes[1])
	}
	if len(s.opened) != 0 || s.Sessions() != 0 {
		t.Error("a session was opened")
	}
}

func TestMaxSessions(t *testing.T) {
	s := listen(t, Config{MaxSessions: 1}, echo)
	first := s.dial(t, nil)
	within(t, s.opened)
	second, err := s.try(t, s.Addr().String(), another, s.secret, nil)
	if err != nil {
		t.Fatal(err)
	}
	within(t, second.Done())
	eventually(t, "the refusal is told", func() bool { return len(s.failures()) > 0 })
	if got := s.failures(); len(got) != 1 || got[0].Cause != CauseFull || got[0].Identity != string(another) {
		t.Errorf("got failures %+v, want one for want of room", got)
	}
	if got, err := post(first, "still here", 5*time.Second); err != nil || got != "still here" {
		t.Errorf("the first session: got %q, %v", got, err)
	}
	again := s.dial(t, nil) // who holds a session may always begin it anew
	within(t, first.Done())
	if got, err := post(again, "anew", 5*time.Second); err != nil || got != "anew" || s.Sessions() != 1 {
		t.Errorf("the same node again: got %q, %v, %d sessions", got, err, s.Sessions())
	}
	_ = again.End()
	eventually(t, "there is room again", func() bool { return s.Sessions() == 0 })
	if _, err := post(s.dial(t, nil), "x", 5*time.Second); err != nil {
		t.Error(err)
	}
}

// lines counts log lines.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *lines) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.FieldsFunc(l.buf.String(), func(r rune) bool { return r == '\n' })
}

// Many who return their cookie and say no more: the oldest go, the log stays short, and a node
// comes in all the same.
func TestMaxHandshakes(t *testing.T) {
	var log lines
	s := listen(t, Config{MaxHandshakes: 4, Handshake: 500 * time.Millisecond, Log: slog.New(slog.NewTextHandler(&log, nil))}, echo)
	n, c := s.throughNAT(t, nil)
	within(t, s.opened) // or its goodbye could come first, and count as a failure
	_ = c.End()
	hello := n.firstFlight()
	const flood = 60
	for range flood {
		u, err := net.DialUDP("udp", nil, s.Addr().(*net.UDPAddr))
		if err != nil {
			t.Fatal(err)
		}
		defer u.Close()
		halfOpen(t, u, hello)
		if got := s.Stats().HalfOpen; got > 4 {
			t.Fatalf("got %d half-open associations, want 4 at most", got)
		}
	}
	if _, err := post(s.dial(t, nil), "x", 5*time.Second); err != nil {
		t.Error(err)
	}
	eventually(t, "every handshake has failed", func() bool { return len(s.failures()) == flood && s.Stats().HalfOpen == 0 })
	busy := 0
	for _, f := range s.failures() {
		if f.Cause == CauseBusy {
			busy++
		}
	}
	if busy < flood-8 {
		t.Errorf("%d of %d had to go, want most", busy, flood)
	}
	if got := log.all(); len(got) != 1 || !strings.Contains(got[0], "level=WARN") {
		t.Errorf("got the log %q, want one warning", got)
	}
}

func TestIdleTimeEndsASilentSession(t *testing.T) {
	s := listen(t, Config{Idle: 400 * time.Millisecond}, echo)
	silent, lively := s.dial(t, nil), s.dial(t, nil)
	within(t, s.opened)
	within(t, s.opened)
	for tick := time.NewTicker(50 * time.Millisecond); ; {
		if _, err := post(lively, "x", 5*time.Second); err != nil {
			t.Fatalf("a session that speaks was ended: %v", err)
		}
		select {
		case <-silent.Done():
			tick.Stop()
			within(t, s.closed)
			if got := s.Sessions(); got != 1 {
				t.Errorf("got %d sessions, want the lively one", got)
			}
			return
		case <-tick.C:
		}
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	began, release := make(chan struct{}), make(chan struct{})
	s := listen(t, Config{}, func(c *Conn, req, resp *pool.Message, at time.Time) {
		close(began)
		<-release
	})
	c := s.dial(t, nil)
	go func() { _, _ = post(c, "x", 5*time.Second) }()
	within(t, began)
	ended := make(chan struct{})
	go func() { s.end(); close(ended) }()
	within(t, s.closed)
	within(t, c.Done()) // the node was told
	select {
	case <-ended:
		t.Error("Serve returned while a handler was at work")
	default:
	}
	close(release)
	within(t, ended)
}

func TestCloseEndsEverything(t *testing.T) {
	before := goleak.IgnoreCurrent()
	l, err := Listen(Config{Addr: freshAddr(), PSK: func([]byte) []byte { return []byte("a key that somebody else has") }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	failed := make(chan error, 2)
	for range 2 { // two handshakes that never complete
		go func() {
			_, err := Dial(ctx, l.Addr().String(), known, keys.NewSecret(), nil)
			failed <- err
		}()
	}
	eventually(t, "both handshakes are on their way", func() bool { return l.Stats().HalfOpen == 2 })
	if err := l.Close(); err != nil {
		t.Errorf("got %v", err)
	}
	if _, err := l.AcceptWithContext(ctx); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept after close: got %v, want net.ErrClosed", err)
	}
	if err := l.Serve(ctx, nil, nil, nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("serve after close: got %v, want net.ErrClosed", err)
	}
	cancel()
	for range 2 {
		if err := within(t, failed); err == nil {
			t.Error("a handshake with a closed listener completed")
		}
	}
	goleak.VerifyNone(t, before)
}

// An association whose handshake is complete but that nobody accepts must not hold up Close.
func TestCloseWithoutServe(t *testing.T) {
	before := goleak.IgnoreCurrent()
	secret := keys.NewSecret()
	l, err := Listen(Config{Addr: freshAddr(), PSK: func([]byte) []byte { return secret.PSK() }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.AcceptWithContext(expired(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want its context's error", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	c, err := Dial(ctx, l.Addr().String(), known, secret, nil)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the handshake is complete on both sides", func() bool { return l.Sessions() == 1 })
	closed := make(chan error, 1)
	go func() { closed <- l.Close() }()
	if err := within(t, closed); err != nil {
		t.Errorf("got %v", err)
	}
	within(t, c.Done())
	if got := l.Sessions(); got != 0 {
		t.Errorf("got %d sessions", got)
	}
	goleak.VerifyNone(t, before)
}

func expired(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func TestCloseEndsServe(t *testing.T) {
	secret := keys.NewSecret()
	l, err := Listen(Config{Addr: freshAddr(), PSK: func([]byte) []byte { return secret.PSK() }})
	if err != nil {
		t.Fatal(err)
	}
	served, opened := make(chan error, 1), make(chan *Conn, 1)
	go func() {
		served <- l.Serve(context.Background(), echo, func(c *Conn) error { opened <- c; return nil }, func(*Conn) {})
	}()
	c, err := Dial(t.Context(), l.Addr().String(), known, secret, nil)
	if err != nil {
		t.Fatal(err)
	}
	within(t, opened)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := within(t, served); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v, want net.ErrClosed", err)
	}
	within(t, c.Done())
}

// A socket that is gone ends Serve with an error; it must not spin.
func TestLostSocketEndsServe(t *testing.T) {
	l, err := Listen(Config{Addr: freshAddr(), PSK: func([]byte) []byte { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- l.Serve(context.Background(), nil, nil, nil) }()
	_ = l.socket.conn.Close()
	if err := within(t, served); err == nil {
		t.Error("got nil, want why nothing is accepted any more")
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestOpenRefuses(t *testing.T) {
	secret := keys.NewSecret()
	var log lines
	l, err := Listen(Config{Addr: freshAddr(), PSK: func([]byte) []byte { return secret.PSK() }, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() {
		served <- l.Serve(ctx, echo, func(*Conn) error { return errors.New("not you") }, func(*Conn) { t.Error("closed what was never open") })
	}()
	switch c, err := Dial(ctx, l.Addr().String(), known, secret, nil); {
	case err == nil:
		within(t, c.Done())
	case !strings.Contains(err.Error(), "CloseNotify"): // else it was refused before it had finished its own side of the handshake
		t.Fatal(err)
	}
	eventually(t, "nothing is counted", func() bool { return l.Sessions() == 0 })
	cancel()
	if err := within(t, served); err != nil {
		t.Error(err)
	}
	_ = l.Close()
	if got := strings.Join(log.all(), "\n"); !strings.Contains(got, "not you") {
		t.Errorf("got the log %q, want why it was refused", got)
	}
}

func TestListenErrors(t *testing.T) {
	psk := func([]byte) []byte { return nil }
	taken, err := Listen(Config{Addr: freshAddr(), PSK: psk})
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, cfg := range map[string]Config{
		"no key look-up":            {Addr: "127.0.0.1:0"},
		"an address without a port": {Addr: "127.0.0.1", PSK: psk},
		"a port that is taken":      {Addr: taken.Addr().String(), PSK: psk},
	} {
		if l, err := Listen(cfg); err == nil || !strings.HasPrefix(err.Error(), "transport: ") {
			t.Errorf("%s: got %v, %v, want an error", name, l, err)
		}
	}
}

// When Serve and Close have returned the port is free, also when nodes end their sessions at the
// same moment.
func TestPortIsFreeAfterClose(t *testing.T) {
	addr := freshAddr()
	secret := keys.NewSecret()
	for range 20 {
		l, err := Listen(Config{Addr: addr, PSK: func([]byte) []byte { return secret.PSK() }})
		if err != nil {
			t.Fatal(err)
		}
		addr = l.Addr().String()
		ctx, cancel := context.WithCancel(context.Background())
		served, opened := make(chan error, 1), make(chan *Conn, 3)
		go func() {
			served <- l.Serve(ctx, echo, func(c *Conn) error { opened <- c; return nil }, func(*Conn) {})
		}()
		var nodes []*Conn
		for range 3 {
			c, err := Dial(t.Context(), addr, known, secret, nil)
			if err != nil {
				t.Fatal(err)
			}
			within(t, opened)
			nodes = append(nodes, c)
		}
		go func() { _ = nodes[0].End() }()
		cancel()
		if err := within(t, served); err != nil {
			t.Error(err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		for _, c := range nodes {
			within(t, c.Done())
		}
	}
}

// Addresses where a key was proven keep their share of the half-open associations, whatever comes
// from elsewhere.
func TestReservedShare(t *testing.T) {
	s := listen(t, Config{MaxHandshakes: 8}, echo)
	n, c := s.throughNAT(t, nil) // from 127.0.0.1
	within(t, s.opened)          // the node is through with its handshake before the listener is
	_ = c.End()
	hello := n.firstFlight()
	from := func(host string) {
		u, err := net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(host)}, s.Addr().(*net.UDPAddr))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = u.Close() })
		halfOpen(t, u, hello)
	}
	from("127.0.0.1")
	from("127.0.0.1")
	for range 30 {
		from("127.0.0.2")
	}
	if got := s.Stats().HalfOpen; got != 8 {
		t.Errorf("got %d half-open associations, want 8", got)
	}
	eventually(t, "24 strangers had to go", func() bool { return len(s.failures()) == 24 })
	for _, f := range s.failures() {
		if f.Addr.Addr().String() != "127.0.0.2" || f.Cause != CauseBusy {
			t.Errorf("got %+v, want only strangers to go", f)
		}
	}
}

// Who returns his cookie may begin so many handshakes and no more; others come in meanwhile.
func TestHandshakesOfOneSource(t *testing.T) {
	s := listen(t, Config{Handshake: time.Second}, echo)
	c := newRaw(t, "127.0.0.2", s.Addr(), nil)
	if err := c.hello(); err != nil {
		t.Fatal(err)
	}
	again := c.sent[len(c.sent)-1]
	began, open := time.Now(), 0
	const more = 2 * sourceBurst
	for i := range more {
		b := bytes.Clone(again)
		binary.BigEndian.PutUint32(b[record.HeaderSize+record.HandshakeHeaderSize+2:], uint32(i)) // another random
		c.send(b)
		time.Sleep(50 * time.Microsecond)
		open = max(open, s.Stats().HalfOpen)
	}
	if open != maxPerPeer {
		t.Errorf("got %d handshakes of one address at once, want %d", open, maxPerPeer)
	}
	if _, err := post(s.dial(t, nil), "x", 5*time.Second); err != nil {
		t.Errorf("another source: %v", err)
	}
	most := sourceBurst + int(sourceRate*time.Since(began).Seconds()) + 2 // that one, and the first
	if got := s.Stats(); got.Hellos < more || got.Handshakes > uint64(most) || got.Handshakes < sourceBurst {
		t.Errorf("got %d handshakes begun of %d hellos, want %d to %d", got.Handshakes, got.Hellos, sourceBurst, most)
	}
	eventually(t, "who was refused is told of", func() bool {
		n := 0
		for _, f := range s.failures() {
			if f.Cause == CauseBusy {
				n++
			}
		}
		return n > more-most
	})
}

// Who floods from an address where a node was seen, be it behind the same router or with a stolen
// key, pushes out only what is his own: neither the strangers nor the other known addresses.
func TestKnownAddressPushesOutItsOwn(t *testing.T) {
	s := listen(t, Config{MaxHandshakes: 16}, echo)
	for host, id := range map[string]keys.ID{"127.0.0.2": known, "127.0.0.3": another} {
		c := newRaw(t, host, s.Addr(), s.secret.PSK())
		c.identity = string(id)
		if err := c.handshake(); err != nil {
			t.Fatal(err)
		}
		within(t, s.opened)
	}
	begins := func(host string) *rawClient {
		c := newRaw(t, host, s.Addr(), s.secret.PSK())
		if err := c.hello(); err != nil {
			t.Fatal(err)
		}
		return c
	}
	waiting := []*rawClient{begins("127.0.0.3"), begins("127.0.0.4"), begins("127.0.0.5")}
	const flood = 60
	for range flood {
		begins("127.0.0.2")
	}
	eventually(t, "those too many had to go", func() bool { return len(s.failures()) == flood+len(waiting)-16 })
	for _, f := range s.failures() {
		if f.Addr.Addr().String() != "127.0.0.2" || f.Cause != CauseBusy {
			t.Errorf("got %+v, want only his own to go", f)
		}
	}
	for _, c := range waiting {
		for _, st := range []step{stepKeyExchange, stepChangeCipher, stepFinished} {
			_ = c.do(st)
		}
		within(t, s.opened)
		if err := c.request(); err != nil {
			t.Error(err)
		}
	}
}
