package transport

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/plgd-dev/go-coap/v3/message/pool"
	"go.uber.org/goleak"

	"latchkey/coapres/transport/limits"
	"latchkey/coapres/transport/record"
	"latchkey/keys"
)

func TestIdentityIsProven(t *testing.T) {
	s := startSite(t, Config{}, answerEcho)
	c := s.dialKnown(t, nil)
	if got := receiveFrom(t, s.opened).Identity(); got != string(known) {
		t.Errorf("got %q, want %q", got, known)
	}
	if got, err := postEcho(c, "hello", 5*time.Second); err != nil || got != "hello" {
		t.Errorf("got %q, %v", got, err)
	}
	_ = c.End()
	receiveFrom(t, s.closed)
	eventually(t, "the session is not counted any more", func() bool { return s.Sessions() == 0 })
	if got := s.listFailures(); len(got) != 0 {
		t.Errorf("got failures %v, want none", got)
	}
}

// With a wrong key and with an unknown identity the gateway sends the same datagrams, and then
// nothing.
func TestWrongKeyAndUnknownIdentityLookAlike(t *testing.T) {
	s := startSite(t, Config{Handshake: 700 * time.Millisecond}, answerEcho)
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
		eventually(t, "the failure is reported", func() bool { return len(s.listFailures()) == i+1 })
		sizes[i] = n.takeSizes()
	}
	if len(sizes[0]) < 2 || !slices.Equal(sizes[0], sizes[1]) {
		t.Errorf("got datagrams of %v and %v bytes, want the same", sizes[0], sizes[1])
	}
	if len(s.opened) != 0 || s.Sessions() != 0 {
		t.Error("a session was opened")
	}
}

func TestMaxSessions(t *testing.T) {
	s := startSite(t, Config{MaxSessions: 1}, answerEcho)
	first := s.dialKnown(t, nil)
	receiveFrom(t, s.opened)
	second, err := s.tryDial(t, s.Addr().String(), another, s.secret, nil)
	switch { // the close_notify may come before pion has completed the node's end
	case err == nil:
		receiveFrom(t, second.Done())
	case !strings.Contains(err.Error(), "CloseNotify"):
		t.Fatal(err)
	}
	eventually(t, "the refusal is reported", func() bool { return len(s.listFailures()) > 0 })
	if got := s.listFailures(); len(got) != 1 || got[0].Cause != CauseFull ||
		got[0].Identity != string(another) {
		t.Errorf("got failures %+v, want one with the cause full", got)
	}
	if got, err := postEcho(first, "still here", 5*time.Second); err != nil || got != "still here" {
		t.Errorf("the first session: got %q, %v", got, err)
	}
	again := s.dialKnown(t, nil) // a node with a session may always replace it
	receiveFrom(t, first.Done())
	if got, err := postEcho(again, "anew", 5*time.Second); err != nil || got != "anew" || s.Sessions() != 1 {
		t.Errorf("the same node again: got %q, %v, %d sessions", got, err, s.Sessions())
	}
	_ = again.End()
	eventually(t, "there is room again", func() bool { return s.Sessions() == 0 })
	if _, err := postEcho(s.dialKnown(t, nil), "x", 5*time.Second); err != nil {
		t.Error(err)
	}
}

// lines stores log lines.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *lines) list() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.FieldsFunc(l.buf.String(), func(r rune) bool { return r == '\n' })
}

// When many peers return their cookie and then send nothing, the oldest are evicted, the log stays
// short, and a node can still open a session.
func TestMaxHandshakes(t *testing.T) {
	var log lines
	s := startSite(t, Config{MaxHandshakes: 4, Handshake: 500 * time.Millisecond, settle: 1,
		Log: slog.New(slog.NewTextHandler(&log, nil))}, answerEcho)
	n, c := s.throughNAT(t, nil)
	// Otherwise its close_notify could come before the handshake is complete, and count as a
	// failure.
	receiveFrom(t, s.opened)
	_ = c.End()
	hello := n.firstHello()
	const flood = 60
	for range flood {
		u, err := net.DialUDP("udp", nil, s.Addr().(*net.UDPAddr))
		if err != nil {
			t.Fatal(err)
		}
		defer u.Close()
		beginHandshake(t, u, hello)
		if got := s.Stats().HalfOpen; got > 4 {
			t.Fatalf("got %d half-open associations, want 4 at most", got)
		}
	}
	if _, err := postEcho(s.dialKnown(t, nil), "x", 5*time.Second); err != nil {
		t.Error(err)
	}
	eventually(t, "every handshake has failed",
		func() bool { return len(s.listFailures()) == flood && s.Stats().HalfOpen == 0 })
	busy := 0
	for _, f := range s.listFailures() {
		if f.Cause == CauseBusy {
			busy++
		}
	}
	if busy < flood-8 {
		t.Errorf("%d of %d were evicted, want most", busy, flood)
	}
	if got := log.list(); len(got) != 1 || !strings.Contains(got[0], "level=WARN") {
		t.Errorf("got the log %q, want one warning", got)
	}
}

func TestIdleTimeEndsASilentSession(t *testing.T) {
	s := startSite(t, Config{Idle: 2 * time.Second}, answerEcho)
	silent, lively := s.dialKnown(t, nil), s.dialKnown(t, nil)
	receiveFrom(t, s.opened)
	receiveFrom(t, s.opened)
	for tick := time.NewTicker(50 * time.Millisecond); ; {
		if _, err := postEcho(lively, "x", 5*time.Second); err != nil {
			t.Fatalf("an active session has ended: %v", err)
		}
		select {
		case <-silent.Done():
			tick.Stop()
			receiveFrom(t, s.closed)
			if got := s.Sessions(); got != 1 {
				t.Errorf("got %d sessions, want the active one", got)
			}
			return
		case <-tick.C:
		}
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	began, release := make(chan struct{}), make(chan struct{})
	s := startSite(t, Config{}, func(c *Conn, req, resp *pool.Message, at time.Time) {
		close(began)
		<-release
	})
	c := s.dialKnown(t, nil)
	go func() { _, _ = postEcho(c, "x", 5*time.Second) }()
	receiveFrom(t, began)
	ended := make(chan struct{})
	go func() { s.end(); close(ended) }()
	receiveFrom(t, s.closed)
	receiveFrom(t, c.Done()) // the node got a close_notify
	select {
	case <-ended:
		t.Error("Serve returned while a handler still ran")
	default:
	}
	close(release)
	receiveFrom(t, ended)
}

// It waits for the handlers of a session that the node has ended before, too.
func TestServeWaitsForSessionsThatEndedBefore(t *testing.T) {
	began, release := make(chan struct{}), make(chan struct{})
	s := startSite(t, Config{}, func(*Conn, *pool.Message, *pool.Message, time.Time) {
		close(began)
		<-release
	})
	c := s.dialKnown(t, nil)
	go func() { _, _ = postEcho(c, "x", 5*time.Second) }()
	receiveFrom(t, began)
	_ = c.Close()
	receiveFrom(t, s.closed)
	ended := make(chan struct{})
	go func() { s.end(); close(ended) }()
	select {
	case <-ended:
		t.Error("Serve returned while a handler still ran")
	case <-time.After(50 * time.Millisecond):
	}
	close(release)
	receiveFrom(t, ended)
}

// Serve ends although an association waits to be accepted, whose handshake is just complete.
func TestServeEndsBesideAHandshake(t *testing.T) {
	secret := keys.NewSecret()
	for range 8 { // each time the end of the context or the association may come first
		l, err := Listen(Config{Addr: freshAddr(), PSK: func([]byte) []byte { return secret.PSK() }})
		if err != nil {
			t.Fatal(err)
		}
		c, err := Dial(t.Context(), l.Addr().String(), known, secret, nil)
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "the handshake is complete on both sides", func() bool { return l.Sessions() == 1 })
		served := make(chan error, 1)
		go func() {
			served <- l.Serve(expiredContext(t), answerEcho, func(*Conn) error { return nil }, func(*Conn) {})
		}()
		if err := receiveFrom(t, served); err != nil || t.Failed() {
			_ = l.Close()
			t.Fatalf("got %v, want that Serve returns nil", err)
		}
		receiveFrom(t, c.Done()) // it got a close_notify
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A session that was replaced ends with Serve too, although the one that replaced it is not accepted.
func TestServeEndsAReplacedSession(t *testing.T) {
	secret := keys.NewSecret()
	l, err := Listen(Config{Addr: freshAddr(), PSK: func([]byte) []byte { return secret.PSK() }})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	node, err := Dial(t.Context(), l.Addr().String(), known, secret, nil)
	if err != nil {
		t.Fatal(err)
	}
	old, err := l.accept(t.Context())
	if err != nil || !old.start(nil, l.log, nil) {
		t.Fatal(err)
	}
	old.link.(*association).begin()
	old.open(nil)
	next, err := node.Renew(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the session is replaced", func() bool { return l.Stats().Replaced == 1 })
	l.endSessions()
	receiveFrom(t, old.Done())
	receiveFrom(t, next.Done())
	if err := l.Close(); err != nil || len(l.leaving) > 0 {
		t.Errorf("got %v, and %d sessions are leaving", err, len(l.leaving))
	}
}

func TestCloseEndsEverything(t *testing.T) {
	before := goleak.IgnoreCurrent()
	l, err := Listen(Config{Addr: freshAddr(),
		PSK: func([]byte) []byte { return []byte("a key that somebody else has") }})
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
	eventually(t, "both handshakes are under way", func() bool { return l.Stats().HalfOpen == 2 })
	if err := l.Close(); err != nil {
		t.Errorf("got %v", err)
	}
	if _, err := l.accept(ctx); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept after close: got %v, want net.ErrClosed", err)
	}
	if err := l.Serve(ctx, nil, nil, nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("serve after close: got %v, want net.ErrClosed", err)
	}
	cancel()
	for range 2 {
		if err := receiveFrom(t, failed); err == nil {
			t.Error("a handshake with a closed listener completed")
		}
	}
	goleak.VerifyNone(t, before)
}

// An association that nobody accepts after its handshake must not block Close.
func TestCloseWithoutServe(t *testing.T) {
	before := goleak.IgnoreCurrent()
	secret := keys.NewSecret()
	l, err := Listen(Config{Addr: freshAddr(), PSK: func([]byte) []byte { return secret.PSK() }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.accept(expiredContext(t)); !errors.Is(err, context.Canceled) {
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
	if err := receiveFrom(t, closed); err != nil {
		t.Errorf("got %v", err)
	}
	receiveFrom(t, c.Done())
	if got := l.Sessions(); got != 0 {
		t.Errorf("got %d sessions", got)
	}
	goleak.VerifyNone(t, before)
}

func expiredContext(t *testing.T) context.Context {
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
		served <- l.Serve(context.Background(), answerEcho, func(c *Conn) error { opened <- c; return nil },
			func(*Conn) {})
	}()
	c, err := Dial(t.Context(), l.Addr().String(), known, secret, nil)
	if err != nil {
		t.Fatal(err)
	}
	receiveFrom(t, opened)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := receiveFrom(t, served); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v, want net.ErrClosed", err)
	}
	receiveFrom(t, c.Done())
}

// If the socket is closed, Serve returns an error and does not loop.
func TestLostSocketEndsServe(t *testing.T) {
	l, err := Listen(Config{Addr: freshAddr(), PSK: func([]byte) []byte { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- l.Serve(context.Background(), nil, nil, nil) }()
	_ = l.socket.Close()
	if err := receiveFrom(t, served); err == nil {
		t.Error("got nil, want an error")
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestOpenRefuses(t *testing.T) {
	secret := keys.NewSecret()
	var log lines
	l, err := Listen(Config{Addr: freshAddr(), PSK: func([]byte) []byte { return secret.PSK() },
		Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() {
		served <- l.Serve(ctx, answerEcho, func(*Conn) error { return errors.New("not you") },
			func(*Conn) { t.Error("closed was called for a session that was refused") })
	}()
	switch c, err := Dial(ctx, l.Addr().String(), known, secret, nil); {
	case err == nil:
		receiveFrom(t, c.Done())
	// Otherwise it was refused before it had completed the handshake itself.
	case !strings.Contains(err.Error(), "CloseNotify"):
		t.Fatal(err)
	}
	eventually(t, "no session is counted", func() bool { return l.Sessions() == 0 })
	cancel()
	if err := receiveFrom(t, served); err != nil {
		t.Error(err)
	}
	_ = l.Close()
	if got := strings.Join(log.list(), "\n"); !strings.Contains(got, "not you") {
		t.Errorf("got the log %q, want the reason of the refusal", got)
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

// When Serve and Close have returned, the port is free, even if nodes end their sessions at the
// same time.
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
			served <- l.Serve(ctx, answerEcho, func(c *Conn) error { opened <- c; return nil },
				func(*Conn) {})
		}()
		var nodes []*Conn
		for range 3 {
			c, err := Dial(t.Context(), addr, known, secret, nil)
			if err != nil {
				t.Fatal(err)
			}
			receiveFrom(t, opened)
			nodes = append(nodes, c)
		}
		go func() { _ = nodes[0].End() }()
		cancel()
		if err := receiveFrom(t, served); err != nil {
			t.Error(err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		for _, c := range nodes {
			receiveFrom(t, c.Done())
		}
	}
}

// Handshakes from other addresses do not evict those from addresses where a key was proven, which
// have a reserved share.
func TestReservedShare(t *testing.T) {
	s := startSite(t, Config{MaxHandshakes: 8, settle: 1}, answerEcho)
	n, c := s.throughNAT(t, nil) // from 127.0.0.1
	receiveFrom(t, s.opened)     // the node completes its handshake before the listener does
	_ = c.End()
	hello := n.firstHello()
	from := func(host string) {
		u, err := net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(host)}, s.Addr().(*net.UDPAddr))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = u.Close() })
		beginHandshake(t, u, hello)
	}
	from("127.0.0.1")
	from("127.0.0.1")
	for range 30 {
		from("127.0.0.2")
	}
	if got := s.Stats().HalfOpen; got != 8 {
		t.Errorf("got %d half-open associations, want 8", got)
	}
	eventually(t, "24 strangers are evicted", func() bool { return len(s.listFailures()) == 24 })
	for _, f := range s.listFailures() {
		if f.Addr.Addr().String() != "127.0.0.2" || f.Cause != CauseBusy {
			t.Errorf("got %+v, want only strangers evicted", f)
		}
	}
}

// The handshakes that one source may begin are limited, even with a valid cookie, and other sources
// can connect meanwhile.
func TestHandshakesOfOneSource(t *testing.T) {
	s := startSite(t, Config{Handshake: time.Second}, answerEcho)
	c := newRawClient(t, "127.0.0.2", s.Addr(), nil)
	if err := c.sayHello(); err != nil {
		t.Fatal(err)
	}
	again := c.sent[len(c.sent)-1]
	began, open := time.Now(), 0
	const more = 2 * limits.SourceBurst
	for i := range more {
		b := bytes.Clone(again)
		// Give it another random, so that it begins another handshake.
		binary.BigEndian.PutUint32(b[record.HeaderSize+record.HandshakeHeaderSize+2:], uint32(i))
		c.send(b)
		time.Sleep(50 * time.Microsecond)
		open = max(open, s.Stats().HalfOpen)
	}
	if open != maxPerPeer {
		t.Errorf("got %d handshakes of one address at once, want %d", open, maxPerPeer)
	}
	if _, err := postEcho(s.dialKnown(t, nil), "x", 5*time.Second); err != nil {
		t.Errorf("another source: %v", err)
	}
	// The two more are the first handshake and the one from the other source.
	most := limits.SourceBurst + int(limits.SourceRate*time.Since(began).Seconds()) + 2
	if got := s.Stats(); got.Hellos < more || got.Handshakes > uint64(most) ||
		got.Handshakes < limits.SourceBurst {
		t.Errorf("got %d handshakes begun of %d hellos, want %d to %d", got.Handshakes, got.Hellos,
			limits.SourceBurst, most)
	}
	eventually(t, "the refused handshakes are reported", func() bool {
		n := 0
		for _, f := range s.listFailures() {
			if f.Cause == CauseBusy {
				n++
			}
		}
		return n > more-most
	})
}

// A flood from a known address, from behind the node's router or with a stolen key, evicts only
// handshakes from that address: neither those of strangers nor those of other known addresses.
func TestKnownAddressEvictsItsOwn(t *testing.T) {
	s := startSite(t, Config{MaxHandshakes: 16, settle: 1}, answerEcho)
	for host, id := range map[string]keys.ID{"127.0.0.2": known, "127.0.0.3": another} {
		c := newRawClient(t, host, s.Addr(), s.secret.PSK())
		c.identity = string(id)
		if err := c.completeHandshake(); err != nil {
			t.Fatal(err)
		}
		receiveFrom(t, s.opened)
	}
	begins := func(host string) *rawClient {
		c := newRawClient(t, host, s.Addr(), s.secret.PSK())
		if err := c.sayHello(); err != nil {
			t.Fatal(err)
		}
		return c
	}
	waiting := []*rawClient{begins("127.0.0.3"), begins("127.0.0.4"), begins("127.0.0.5")}
	const flood = 60
	for range flood {
		begins("127.0.0.2")
	}
	eventually(t, "the excess handshakes are evicted",
		func() bool { return len(s.listFailures()) == flood+len(waiting)-16 })
	for _, f := range s.listFailures() {
		if f.Addr.Addr().String() != "127.0.0.2" || f.Cause != CauseBusy {
			t.Errorf("got %+v, want only handshakes of the flood evicted", f)
		}
	}
	for _, c := range waiting {
		for _, st := range []step{stepKeyExchange, stepChangeCipher, stepFinished} {
			_ = c.doStep(st)
		}
		receiveFrom(t, s.opened)
		if err := c.requestOnce(); err != nil {
			t.Error(err)
		}
	}
}

// When many handshakes are under way at once, one more waits: its hello is dropped and comes again.
// If it took the place of another, that node would wait until its handshake times out.
func TestHandshakesUnderWayStay(t *testing.T) {
	s := startSite(t, Config{MaxHandshakes: 8, settle: time.Minute}, answerEcho)
	var waiting []*rawClient
	for i := range 6 { // as many as strangers may have
		c := newRawClient(t, fmt.Sprintf("127.0.0.%d", 2+i), s.Addr(), s.secret.PSK())
		if err := c.sayHello(); err != nil {
			t.Fatal(err)
		}
		waiting = append(waiting, c)
	}
	dialled := make(chan *Conn, 1)
	go func() {
		c, err := s.tryDial(t, s.Addr().String(), another, s.secret, nil)
		if err != nil {
			t.Error(err)
		}
		dialled <- c
	}()
	eventually(t, "one more is refused", func() bool { return len(s.listFailures()) > 0 })
	for _, c := range waiting {
		for _, st := range []step{stepKeyExchange, stepChangeCipher, stepFinished} {
			_ = c.doStep(st)
		}
		receiveFrom(t, s.opened)
		if err := c.requestOnce(); err != nil {
			t.Error(err)
		}
	}
	if c := receiveFrom(t, dialled); c != nil {
		if _, err := postEcho(c, "x", 5*time.Second); err != nil {
			t.Error(err)
		}
	}
	for _, f := range s.listFailures() {
		if f.Cause != CauseBusy || f.Addr.Addr().String() != "127.0.0.1" {
			t.Errorf("got %+v, want only the one more refused", f)
		}
	}
}
