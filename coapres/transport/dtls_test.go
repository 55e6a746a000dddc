package transport

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/protocol"
	"github.com/plgd-dev/go-coap/v3/message/pool"

	"latchkey/coapres/transport/message"
	"latchkey/coapres/transport/message/messagetest"
	"latchkey/coapres/transport/record"
	"latchkey/keys"
)

// dialDTLS opens a DTLS session without CoAP above it.
func (s *site) dialDTLS(t *testing.T, opts ...dtls.ClientOption) (*dtls.Conn, error) {
	t.Helper()
	pc, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pc.Close() })
	dc, err := dtls.ClientWithOptions(pc, s.Addr(), append([]dtls.ClientOption{
		dtls.WithPSK(func([]byte) ([]byte, error) { return s.secret.PSK(), nil }),
		dtls.WithPSKIdentityHint([]byte(known)),
		dtls.WithLoggerFactory(quiet),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dc.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	return dc, dc.HandshakeContext(ctx)
}

func TestSuites(t *testing.T) {
	s := startSite(t, Config{}, answerEcho)
	for _, tc := range []struct {
		name  string
		suite dtls.CipherSuiteID
		want  bool
	}{
		{"PSK_WITH_AES_128_CCM_8", dtls.TLS_PSK_WITH_AES_128_CCM_8, true},
		{"PSK_WITH_AES_128_CCM", dtls.TLS_PSK_WITH_AES_128_CCM, true},
		{"ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256", dtls.TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256, true},
		{"PSK_WITH_AES_256_CCM_8", dtls.TLS_PSK_WITH_AES_256_CCM_8, false},
		{"PSK_WITH_AES_128_GCM_SHA256", dtls.TLS_PSK_WITH_AES_128_GCM_SHA256, false},
		{"PSK_WITH_AES_128_CBC_SHA256", dtls.TLS_PSK_WITH_AES_128_CBC_SHA256, false},
		{"ECDHE_PSK_WITH_AES_128_CBC_SHA256", dtls.TLS_ECDHE_PSK_WITH_AES_128_CBC_SHA256, false},
		{"PSK_WITH_CHACHA20_POLY1305_SHA256", dtls.TLS_PSK_WITH_CHACHA20_POLY1305_SHA256, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dc, err := s.dialDTLS(t, dtls.WithCipherSuites(tc.suite))
			if (err == nil) != tc.want {
				t.Fatalf("got %v, want a session: %v", err, tc.want)
			}
			if err != nil {
				return
			}
			st, ok := dc.ConnectionState()
			if !ok || st.CipherSuiteID != tc.suite {
				t.Errorf("got suite %v, want %v", st.CipherSuiteID, tc.suite)
			}
			if got := receiveFrom(t, s.opened).Identity(); got != string(known) {
				t.Errorf("got identity %q", got)
			}
		})
	}
}

func TestExtendedMasterSecretIsRequired(t *testing.T) {
	s := startSite(t, Config{}, answerEcho)
	if _, err := s.dialDTLS(t, dtls.WithCipherSuites(suites...),
		dtls.WithExtendedMasterSecret(dtls.DisableExtendedMasterSecret)); err == nil {
		t.Error("a client without it opened a session")
	}
	eventually(t, "the failure is reported", func() bool { return len(s.listFailures()) > 0 })
}

// Whatever a record contains, the session continues.
func TestGarbageDoesNotEndASession(t *testing.T) {
	s := startSite(t, Config{}, answerEcho)
	dc, err := s.dialDTLS(t, dtls.WithCipherSuites(suites...))
	if err != nil {
		t.Fatal(err)
	}
	g := receiveFrom(t, s.opened)
	mid := uint16(0)
	checkRequest := func(after string) {
		t.Helper()
		mid++
		want := makeACK(t, mid, "t", "fine")
		want[1] = 0x45
		if _, err := dc.Write(makeCON(t, mid, "t", "fine")); err != nil {
			t.Fatalf("after %s: %v", after, err)
		}
		_ = dc.SetReadDeadline(time.Now().Add(5 * time.Second))
		for buf := make([]byte, 8192); ; {
			n, err := dc.Read(buf)
			if err != nil {
				t.Fatalf("after %s: %v", after, err)
			}
			if bytes.Equal(buf[:n], want) {
				return // messages before it were Resets
			}
		}
	}
	checkRequest("nothing")
	for _, r := range messagetest.All() {
		if r.Want == message.Pass {
			continue
		}
		b, err := messagetest.Decode(r.In)
		if err != nil {
			t.Fatal(err)
		}
		if len(b) > 0 {
			if _, err := dc.Write(b); err != nil {
				t.Fatal(err)
			}
		}
		checkRequest(r.Name)
	}
	for name, b := range map[string][]byte{
		"an empty record":                    {},
		"one byte":                           {0x40},
		"text":                               []byte("GET / HTTP/1.1\r\n\r\n"),
		"a record of 1,281 bytes":            makePadded(t, message.MaxSize+1),
		"a record of 1,473 bytes":            makePadded(t, 1473),
		"a record of 4,000 bytes":            makePadded(t, 4000),
		"zeros":                              make([]byte, 100),
		"an answer to no request":            makeACK(t, 4711, "t", "x"),
		"a confirmable answer to no request": {0x41, 0x45, 0, 9, 't'},
		"a Reset for nothing":                {0x70, 0, 9, 9},
		"an ACK for nothing":                 {0x60, 0, 9, 9},
		"a Reset for an answer":              {0x70, 0, 0, 1},
	} {
		if _, err := dc.Write(b); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		checkRequest(name)
	}
	if g.Context().Err() != nil || s.Sessions() != 1 {
		t.Error("the session has ended")
	}
}

// makePadded makes a request of n bytes.
func makePadded(t *testing.T, n int) []byte {
	m := makeCON(t, 60000, "t", "x")
	return append(m, bytes.Repeat([]byte("x"), n-len(m))...)
}

func TestLargestMessage(t *testing.T) {
	s := startSite(t, Config{},
		func(c *Conn, req, resp *pool.Message, at time.Time) { answerEcho(c, req, resp, at) })
	c := s.dialKnown(t, nil)
	for _, n := range []int{1, 1024, 1200} {
		want := strings.Repeat("x", n)
		if got, err := postEcho(c, want, 5*time.Second); err != nil || got != want {
			t.Errorf("a body of %d bytes: got %d back, %v", n, len(got), err)
		}
	}
}

// The gateway finds a node whose port has changed by its connection ID.
func TestPortChanges(t *testing.T) {
	s := startSite(t, Config{}, answerEcho)
	n, c := s.throughNAT(t, answerEcho)
	g := receiveFrom(t, s.opened)
	for range 3 {
		if got, err := postEcho(c, "from the node", 5*time.Second); err != nil || got != "from the node" {
			t.Fatalf("got %q, %v", got, err)
		}
		if got, err := postEcho(g, "from the gateway", 5*time.Second); err != nil ||
			got != "from the gateway" {
			t.Fatalf("got %q, %v", got, err)
		}
		n.rebind(t)
	}
	if len(s.opened) != 0 || s.Sessions() != 1 {
		t.Error("another session was opened")
	}
}

func TestStableAddr(t *testing.T) {
	s := startSite(t, Config{}, answerEcho)
	seen := map[string]bool{}
	for range 3 {
		s.dialKnown(t, nil)
		g := receiveFrom(t, s.opened)
		a := g.RemoteAddr()
		if a.Network() != "udp" || !strings.HasPrefix(a.String(), "127.0.0.1:") || seen[a.String()] {
			t.Errorf("got %v, want an address and a number of its own", a)
		}
		seen[a.String()] = true
	}
}

func TestDialEnds(t *testing.T) {
	deaf, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	t.Run("with its context when nobody answers", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		if _, err := Dial(ctx, deaf.LocalAddr().String(), known, keys.NewSecret(), nil); err == nil {
			t.Error("got no error")
		}
	})
	t.Run("at once without a port", func(t *testing.T) {
		if _, err := Dial(context.Background(), "127.0.0.1", known, keys.NewSecret(), nil); err == nil {
			t.Error("got no error")
		}
	})
	t.Run("the association with its context", func(t *testing.T) {
		s := startSite(t, Config{}, answerEcho)
		ctx, cancel := context.WithCancel(context.Background())
		c, err := Dial(ctx, s.Addr().String(), known, s.secret, nil)
		if err != nil {
			t.Fatal(err)
		}
		g := receiveFrom(t, s.opened)
		cancel()
		receiveFrom(t, c.Done())
		if receiveFrom(t, s.closed) != g { // the node sent a close_notify
			t.Error("another session ended at the gateway")
		}
		receiveFrom(t, g.Done())
	})
	t.Run("a request when the gateway ends the session", func(t *testing.T) {
		s := startSite(t, Config{}, func(c *Conn, _, _ *pool.Message, _ time.Time) { _ = c.End() })
		c := s.dialKnown(t, nil)
		if _, err := postEcho(c, "x", 20*time.Second); err == nil {
			t.Error("got no error")
		}
		receiveFrom(t, c.Done())
	})
}

// An attacker sends a captured record of the node from his own address, so the session moves there.
// The gateway sends him only pings, and no more bytes than he sent. The node's next record moves
// the session back.
func TestStolenAddress(t *testing.T) {
	moved := make(chan *Conn, 8)
	s := startSite(t, Config{Moved: func(c *Conn) { moved <- c }}, answerEcho)
	n, c := s.throughNAT(t, answerEcho)
	g := receiveFrom(t, s.opened)
	if _, err := postEcho(c, "here", 5*time.Second); err != nil {
		t.Fatal(err)
	}
	thief, err := net.DialUDP("udp", nil, s.Addr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer thief.Close()
	n.divertNext(thief)
	n.takeSizes()
	answer := make(chan string, 1)
	go func() {
		got, err := postEcho(c, "a longer request, so that there is something to gain", 8*time.Second)
		answer <- got + fmt.Sprint(err)
	}()
	if receiveFrom(t, moved) != g {
		t.Fatal("Moved was called with another session")
	}
	command := make(chan error, 1)
	go func() {
		_, err := postEcho(g, "a command", 8*time.Second)
		command <- err
	}()
	got, buf := 0, make([]byte, 2048)
	_ = thief.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
	for {
		k, err := thief.Read(buf)
		if err != nil {
			break
		}
		if k > pingRecord {
			t.Errorf("the thief got a datagram of %d bytes, want only pings", k)
		}
		got += k
	}
	n.mu.Lock()
	sent := n.stolen
	n.mu.Unlock()
	if got == 0 || got > sent {
		t.Errorf("the thief got %d bytes and sent %d, want a ping and no more than he sent", got, sent)
	}
	if got := receiveFrom(t, answer); !strings.HasSuffix(got, "gain<nil>") {
		t.Errorf("the node got %q", got)
	}
	if err := receiveFrom(t, command); err != nil {
		t.Errorf("the command: got %v", err)
	}
	if g.Path() != 2 || s.Sessions() != 1 {
		t.Errorf("got path %d, want 2: to the thief and back", g.Path())
	}
}

// Whoever copies a record can move a session. So a new address gets only pings until it has
// answered one, and no more bytes than came from it. The rest is held until then.
func TestWhatIsWrittenAfterAMove(t *testing.T) {
	s := startSite(t, Config{}, answerEcho)
	before, g := s.openRawSession(t, "127.0.0.1", true)
	a := s.findOnlyAssociation(t)
	after := newRawClient(t, "127.0.0.2", s.Addr(), s.secret.PSK())
	moving := before.encryptRecord(protocol.ContentTypeApplicationData, make([]byte, 2*pingRecord))
	_, _ = after.conn.Write(moving) // not a message, so it asks for no answer
	eventually(t, "the session moves", func() bool { return g.Path() == 1 })
	a.transmit(make([]byte, 100))
	for range 20 {
		a.transmit(make([]byte, pingRecord))
	}
	a.Flush()
	got := after.countBytes(100 * time.Millisecond)
	if got == 0 || got > len(moving) || before.countBytes(100*time.Millisecond) != 0 {
		t.Errorf("got %d bytes at the new address, want pings, but no more than the %d that came from there, and none at the old one",
			got, len(moving))
	}
	a.Prove(0) // an answer to a message on the old path does not prove the new address
	if got := after.countBytes(100 * time.Millisecond); got != 0 {
		t.Errorf("got %d bytes at an unproven address, want none", got)
	}
	a.Prove(1)
	if got := after.countBytes(100 * time.Millisecond); got != 100 {
		t.Errorf("got %d bytes when the address is proven, want the 100 that were held", got)
	}
}

// An answer to what the old address received proves no other, although a retransmission of it is held
// for the new one by then. Somebody in between could otherwise send a session's traffic to whom he
// likes.
func TestAnswerFromTheOldAddressProvesNoOther(t *testing.T) {
	s := startSite(t, Config{}, answerEcho)
	before, g := s.openRawSession(t, "127.0.0.1", true)
	a := s.findOnlyAssociation(t)
	go func() { _, _ = postEcho(g, "a request of the gateway's", patienceOfTests) }()
	var id []byte
	if err := before.receiveUntil(patienceOfTests, func(r []byte) bool {
		m, ok := before.decryptRecord(r, record.ApplicationData)
		id = m
		return ok
	}); err != nil {
		t.Fatal(err)
	}
	after := newRawClient(t, "127.0.0.2", s.Addr(), s.secret.PSK())
	moveBy := func(m []byte) {
		_, _ = after.conn.Write(before.encryptRecord(protocol.ContentTypeApplicationData, m))
	}
	moveBy(make([]byte, 2*pingRecord))
	eventually(t, "the retransmission is held", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.path == 1 && len(a.held) > 0
	})
	moveBy([]byte{0x60, 0, id[2], id[3]})
	eventually(t, "the request is acknowledged", func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.unacked == 0
	})
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.proven || a.path != 1 {
		t.Errorf("path %d is proven (%v), but nothing that was sent there was answered", a.path, a.proven)
	}
}

// A node whose address changes with each record costs no more than one that has moved once.
func TestManyMoves(t *testing.T) {
	reported, release := make(chan *Conn, 1000), make(chan struct{})
	free := sync.OnceFunc(func() { close(release) })
	defer free()
	s := startSite(t, Config{Moved: func(c *Conn) { reported <- c; <-release }}, answerEcho)
	c, g := s.openRawSession(t, "127.0.0.1", true)
	var from []*rawClient
	for range 10 {
		from = append(from, newRawClient(t, "127.0.0.2", s.Addr(), s.secret.PSK()))
	}
	const moves = 300
	for i := range moves {
		c.mid++
		_, _ = from[i%len(from)].conn.Write(c.encryptRecord(protocol.ContentTypeApplicationData,
			makeGET(c.mid)))
		eventually(t, "the session moves", func() bool { return g.Path() == uint32(i+1) })
	}
	g.mu.Lock()
	pings := g.exchange.Retransmit(time.Now().Add(time.Hour))
	g.mu.Unlock()
	if len(pings) != 1 {
		t.Errorf("got %d addresses that would be pinged again, want only the newest", len(pings))
	}
	if n := len(reported); n != 1 {
		t.Errorf("Moved was called %d times at once, want once", n)
	}
	free()
	eventually(t, "the later moves are reported too, once",
		func() bool { return len(reported) == 2 && g.moves.Load() == 0 })
}

// findOnlyAssociation returns the listener's only association.
func (s *site) findOnlyAssociation(t *testing.T) (a *association) {
	t.Helper()
	s.Listener.mu.Lock()
	defer s.Listener.mu.Unlock()
	if len(s.cids) != 1 {
		t.Fatalf("got %d associations, want one", len(s.cids))
	}
	for _, a = range s.cids {
	}
	return a
}
