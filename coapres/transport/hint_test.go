package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"latchkey/coapres/transport/limits"
	"latchkey/coapres/transport/record"
)

// newRecord makes a record of a type and an epoch, with size bytes in all.
func newRecord(typ, epoch byte, size int) []byte {
	r := make([]byte, size)
	copy(r, []byte{typ, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, 7})
	head := record.HeaderSize
	if typ == record.TLS12CID {
		head += record.CIDSize
	}
	r[head-2], r[head-1] = byte((size-head)>>8), byte(size-head)
	return r
}

// unknownPeer is a socket whose address the gateway does not know.
type unknownPeer struct{ *net.UDPConn }

func newUnknownPeer(t *testing.T, to net.Addr) unknownPeer {
	t.Helper()
	c, err := net.DialUDP("udp", nil, to.(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return unknownPeer{c}
}

// collectAnswers sends datagrams and returns the answers, until none comes for a while.
func (s unknownPeer) collectAnswers(t *testing.T, datagrams ...[]byte) (got [][]byte) {
	t.Helper()
	for _, b := range datagrams {
		if _, err := s.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	for buf := make([]byte, maxDatagram); ; {
		_ = s.SetReadDeadline(time.Now().Add(150 * time.Millisecond))
		n, err := s.Read(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, bytes.Clone(buf[:n]))
	}
}

// Only application data of a session that the gateway does not have is answered with a hint.
func TestHintIsTheAnswerToApplicationData(t *testing.T) {
	s := startSite(t, Config{}, answerEcho)
	for _, tc := range []struct {
		rule string
		b    []byte
		hint bool
	}{
		{"application data", newRecord(record.ApplicationData, 1, 60), true},
		{"application data of a later epoch", newRecord(record.ApplicationData, 2, 60), true},
		{"a record with a connection ID", newRecord(record.TLS12CID, 1, 60), true},
		{"a record as long as a hint", newRecord(record.ApplicationData, 1, 25), true},
		{"a record shorter than a hint", newRecord(record.ApplicationData, 1, 24), false},
		{"a record with a connection ID, shorter than a hint", newRecord(record.TLS12CID, 1, 24), false},
		{"plaintext application data", newRecord(record.ApplicationData, 0, 60), false},
		{"a plaintext record with a connection ID", newRecord(record.TLS12CID, 0, 60), false},
		{"a Finished", newRecord(record.Handshake, 1, 60), false},
		{"an encrypted alert", newRecord(record.Alert, 1, 60), false},
		{"a ChangeCipherSpec", newRecord(record.ChangeCipherSpec, 1, 60), false},
		{"a hint", record.HelloRequest, false},
		{"a plaintext alert", newRecord(record.Alert, 0, 60), false},
		{"an unknown type", newRecord(99, 1, 60), false},
	} {
		got := newUnknownPeer(t, s.Addr()).collectAnswers(t, tc.b)
		if tc.hint != (len(got) == 1) || len(got) > 1 {
			t.Errorf("%s: got %d answers, want a hint: %v", tc.rule, len(got), tc.hint)
		}
		for _, b := range got {
			if !bytes.Equal(b, record.HelloRequest) || len(b) > len(tc.b) {
				t.Errorf("%s: got %x for %d bytes, want a plaintext HelloRequest, no longer than that",
					tc.rule, b, len(tc.b))
			}
		}
	}
	if got := s.Stats().Hints; got != 4 {
		t.Errorf("got %d hints counted, want 4", got)
	}
}

// An address gets few hints, however many datagrams come from it.
func TestHintsAreFew(t *testing.T) {
	s := startSite(t, Config{}, answerEcho)
	c := newUnknownPeer(t, s.Addr())
	var many []byte
	for range 20 {
		many = append(many, newRecord(record.ApplicationData, 1, 60)...)
	}
	began := time.Now()
	got := 0
	for range 50 {
		got += len(c.collectAnswers(t, many, many, many))
		if time.Since(began) > 2*time.Second {
			break
		}
	}
	most := limits.HintPeerBurst + int(time.Since(began)/time.Second)*limits.HintPeerRate + 1
	if got < 1 || got > most {
		t.Errorf("got %d hints in %v, want 1 to %d", got, time.Since(began), most)
	}
	for range 3 * limits.HintSourceBurst / 10 { // from other ports of the same address
		o := newUnknownPeer(t, s.Addr())
		for range 10 {
			_, _ = o.Write(many)
		}
	}
	var read uint64
	eventually(t, "the last datagram was read", func() bool {
		before := read
		read = s.Stats().Ignored
		return read == before
	})
	all := int(s.Stats().Hints)
	if most = limits.HintSourceBurst + int(time.Since(began)/time.Second+1)*limits.HintSourceRate; all > most {
		t.Errorf("got %d hints to one address in %v, want at most %d", all, time.Since(began), most)
	}
}

// An address gets no hint while a handshake is under way there or has just begun, nor while it has
// a session.
func TestNoHintWhileAHandshakeIsUnderWay(t *testing.T) {
	s := startSite(t, Config{}, answerEcho)
	wantNoHint := func(rule string, c *rawClient) {
		t.Helper()
		for _, b := range [][]byte{newRecord(record.ApplicationData, 1, 60),
			newRecord(record.TLS12CID, 1, 60)} {
			c.send(b)
			if err := c.receiveUntil(150*time.Millisecond, record.IsHelloRequest); err == nil {
				t.Errorf("%s: a record of type %d was answered with a hint", rule, b[0])
			}
		}
	}
	half := newRawClient(t, "127.0.0.1", s.Addr(), s.secret.PSK())
	if err := half.sayHello(); err != nil {
		t.Fatal(err)
	}
	first := newRawClient(t, "127.0.0.1", s.Addr(), s.secret.PSK())
	hellos := s.Stats().Hellos
	first.send(half.sent[0])
	eventually(t, "the hello was read", func() bool { return s.Stats().Hellos > hellos })
	wantNoHint("after a first hello", first)
	wantNoHint("in the middle of a handshake", half)
	for _, cid := range []bool{false, true} {
		c, _ := s.openRawSession(t, "127.0.0.1", cid)
		wantNoHint("with a session", c)
		_ = c.doStep(stepClose)
		receiveFrom(t, s.closed)
		wantNoHint("after the session, soon after its handshake", c)
	}
}

// The gateway cannot find a session without a connection ID when the address changes, so the new
// address gets a hint.
func TestHintAfterAMoveWithoutConnectionID(t *testing.T) {
	s := startSite(t, Config{}, answerEcho)
	c, _ := s.openRawSession(t, "127.0.0.1", false)
	got := newUnknownPeer(t, s.Addr()).collectAnswers(t, c.encryptRecord(record.ApplicationData, makeGET(1)))
	if len(got) != 1 || !record.IsHelloRequest(got[0]) {
		t.Errorf("got %x, want a hint", got)
	}
	if err := c.requestOnce(); err != nil {
		t.Errorf("the session does not continue at its old address: %v", err)
	}
}

// Two gateways do not answer each other's answers, whatever somebody sends to one of them with the
// other's address.
func TestTwoGatewaysDoNotAnswerEachOther(t *testing.T) {
	a, b := startSite(t, Config{}, answerEcho), startSite(t, Config{}, answerEcho)
	// Each gateway takes this socket for the other gateway.
	middle, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer middle.Close()
	to := func(s *site, datagram []byte) {
		if _, err := middle.WriteTo(datagram, s.Addr()); err != nil {
			t.Fatal(err)
		}
	}
	for _, typ := range []byte{record.ChangeCipherSpec, record.Alert, record.Handshake,
		record.ApplicationData, 24, record.TLS12CID, 26} {
		for epoch := range byte(3) {
			to(a, newRecord(typ, epoch, 100))
		}
	}
	to(a, record.HelloRequest)
	passed := 0
	for buf := make([]byte, maxDatagram); ; passed++ {
		_ = middle.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		n, from, err := middle.ReadFrom(buf)
		if err != nil {
			break
		}
		if from.String() == a.Addr().String() {
			to(b, buf[:n])
		} else {
			to(a, buf[:n])
		}
	}
	if sent := a.Stats().Hints + b.Stats().Hints; passed != int(sent) || sent == 0 || b.Stats().Hints != 0 {
		t.Errorf("got %d datagrams, %d hints of the first and %d of the second, want only hints of the first",
			passed, a.Stats().Hints, b.Stats().Hints)
	}
}

// At the start of a gateway each address gets one hint, in order, except those that already have a
// session.
func TestHintsAtTheStart(t *testing.T) {
	s := startSite(t, Config{}, answerEcho)
	there, _ := s.openRawSession(t, "127.0.0.1", true)
	var sockets []unknownPeer
	var seen []LastSeen
	for i := range 20 {
		c := newUnknownPeer(t, s.Addr())
		sockets = append(sockets, c)
		seen = append(seen, LastSeen{fmt.Sprint("seen ", i), c.LocalAddr().(*net.UDPAddr).AddrPort()})
	}
	seen = append(seen, LastSeen{"there", there.conn.LocalAddr().(*net.UDPAddr).AddrPort()}, LastSeen{"nowhere",
		netip.AddrPort{}}, LastSeen{"elsewhere", netip.MustParseAddrPort("127.0.0.9:9")})
	began := time.Now()
	s.Hint(t.Context(), seen)
	if took := time.Since(began); took < time.Duration(len(sockets)-1)*time.Second/2/limits.HandshakeRate {
		t.Errorf("got %d hints within %v, want them no faster than the rate of handshakes", len(sockets),
			took)
	}
	if !s.budget.IsKnown(netip.MustParseAddr("127.0.0.9")) {
		t.Error("an address where a key was proven before is not known")
	}
	for i, c := range sockets {
		if got := c.collectAnswers(t); len(got) != 1 || !record.IsHelloRequest(got[0]) {
			t.Errorf("address %d: got %x, want one hint", i, got)
		}
	}
	if err := there.receiveUntil(100*time.Millisecond, record.IsHelloRequest); err == nil {
		t.Error("an address with a session got a hint")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.Hint(ctx, seen) // returns, because its context has ended
}

// After a hint a node pings the gateway and keeps its session if the ping is answered. Renew opens
// another session from the same port while the old one is still open.
func TestNodeFollowsAHint(t *testing.T) {
	s := startSite(t, Config{}, answerEcho)
	n, c := s.throughNAT(t, answerEcho)
	g := receiveFrom(t, s.opened)
	for range 1000 {
		n.sendToNode(record.HelloRequest)
	}
	receiveFrom(t, c.Hinted())
	if err := c.Ping(t.Context()); err != nil {
		t.Fatalf("ping: %v", err)
	}
	for range 1000 {
		n.sendToNode(record.HelloRequest)
	}
	if got, err := postEcho(g, "still", 5*time.Second); err != nil || got != "still" {
		t.Errorf("after hints: got %q, %v", got, err)
	}
	from := c.node.guard.s.conn.LocalAddr().String()
	next, err := c.Renew(t.Context(), answerEcho)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = next.End(); receiveFrom(t, next.Done()) }()
	receiveFrom(t, c.Done())
	receiveFrom(t, s.closed)
	g = receiveFrom(t, s.opened)
	if got := next.node.guard.s.conn.LocalAddr().String(); got != from {
		t.Errorf("got port %s, want the same as before, %s", got, from)
	}
	for range 1000 {
		n.sendToNode(record.HelloRequest)
	}
	if got, err := postEcho(g, "new", 5*time.Second); err != nil || got != "new" {
		t.Errorf("on the new session: got %q, %v", got, err)
	}
	if got, err := postEcho(next, "up", 5*time.Second); err != nil || got != "up" {
		t.Errorf("on the new session: got %q, %v", got, err)
	}
}

// While a new handshake gets no answer, the old session continues, and hints during the handshake
// have no effect.
func TestOldSessionContinuesUntilTheNewOneIsOpen(t *testing.T) {
	s := startSite(t, Config{}, answerEcho)
	n, c := s.throughNAT(t, answerEcho)
	g := receiveFrom(t, s.opened)
	s.Listener.mu.Lock()
	s.Listener.budget = limits.NewBudget(0) // no handshake may begin
	s.Listener.mu.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	failed := make(chan error, 1)
	go func() {
		_, err := c.Renew(ctx, answerEcho)
		failed <- err
	}()
	for i := 0; ; i++ {
		n.sendToNode(record.HelloRequest)
		if got, err := postEcho(c, "up", 5*time.Second); err != nil || got != "up" {
			t.Fatalf("got %q, %v", got, err)
		}
		if got, err := postEcho(g, "down", 5*time.Second); err != nil || got != "down" {
			t.Fatalf("got %q, %v", got, err)
		}
		select {
		case err := <-failed:
			if err == nil || i < 10 {
				t.Errorf("got %v after %d requests, want an error after many", err, i)
			}
			if got, err := postEcho(c, "after", 5*time.Second); err != nil || got != "after" {
				t.Errorf("afterwards: got %q, %v", got, err)
			}
			return
		default:
		}
	}
}
