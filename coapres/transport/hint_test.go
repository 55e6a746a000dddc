package transport

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"latchkey/coapres/transport/record"
)

// recordOf makes a record of a type and an epoch with so many bytes in all.
func recordOf(typ, epoch byte, size int) []byte {
	r := make([]byte, size)
	copy(r, []byte{typ, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, 7})
	head := record.HeaderSize
	if typ == record.TLS12CID {
		head += record.CIDSize
	}
	r[head-2], r[head-1] = byte((size-head)>>8), byte(size-head)
	return r
}

// unknownPeer is a socket that the gateway knows nothing of.
type unknownPeer struct{ *net.UDPConn }

func newUnknown(t *testing.T, to net.Addr) unknownPeer {
	t.Helper()
	c, err := net.DialUDP("udp", nil, to.(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return unknownPeer{c}
}

// answers sends datagrams and returns what comes back until nothing has for a while.
func (s unknownPeer) answers(t *testing.T, datagrams ...[]byte) (got [][]byte) {
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

// What cannot be attributed is answered with a hint if it is application data of a session, and
// nothing else is.
func TestHintIsTheAnswerToApplicationData(t *testing.T) {
	s := listen(t, Config{}, echo)
	for _, tc := range []struct {
		rule string
		b    []byte
		hint bool
	}{
		{"application data", recordOf(record.ApplicationData, 1, 60), true},
		{"of a later epoch", recordOf(record.ApplicationData, 2, 60), true},
		{"with a connection ID", recordOf(record.TLS12CID, 1, 60), true},
		{"as long as a hint", recordOf(record.ApplicationData, 1, 25), true},
		{"shorter than a hint", recordOf(record.ApplicationData, 1, 24), false},
		{"with a connection ID, shorter than a hint", recordOf(record.TLS12CID, 1, 24), false},
		{"application data in the clear", recordOf(record.ApplicationData, 0, 60), false},
		{"a connection ID in the clear", recordOf(record.TLS12CID, 0, 60), false},
		{"a Finished", recordOf(record.Handshake, 1, 60), false},
		{"an encrypted alert", recordOf(record.Alert, 1, 60), false},
		{"a ChangeCipherSpec", recordOf(record.ChangeCipherSpec, 1, 60), false},
		{"a hint", record.HelloRequest, false},
		{"an alert in the clear", recordOf(record.Alert, 0, 60), false},
		{"an unknown type", recordOf(99, 1, 60), false},
	} {
		got := newUnknown(t, s.Addr()).answers(t, tc.b)
		if tc.hint != (len(got) == 1) || len(got) > 1 {
			t.Errorf("%s: got %d answers, want a hint: %v", tc.rule, len(got), tc.hint)
		}
		for _, b := range got {
			if !bytes.Equal(b, record.HelloRequest) || len(b) > len(tc.b) {
				t.Errorf("%s: got %x for %d bytes, want a HelloRequest in the clear", tc.rule, b, len(tc.b))
			}
		}
	}
	if got := s.Stats().Hints; got != 4 {
		t.Errorf("got %d hints counted, want 4", got)
	}
}

// However much comes, an address gets few hints, and fewer bytes than came.
func TestHintsAreFew(t *testing.T) {
	s := listen(t, Config{}, echo)
	c := newUnknown(t, s.Addr())
	var many []byte
	for range 20 {
		many = append(many, recordOf(record.ApplicationData, 1, 60)...)
	}
	began := time.Now()
	got := 0
	for range 50 {
		got += len(c.answers(t, many, many, many))
		if time.Since(began) > 2*time.Second {
			break
		}
	}
	if most := hintPeerBurst + int(time.Since(began)/time.Second)*hintPeerRate + 1; got < 1 || got > most {
		t.Errorf("got %d hints in %v, want 1 to %d", got, time.Since(began), most)
	}
	for range 3 * hintSourceBurst / 10 { // other ports of the same address
		o := newUnknown(t, s.Addr())
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
	if most := hintSourceBurst + int(time.Since(began)/time.Second+1)*hintSourceRate; all > most {
		t.Errorf("got %d hints to one address in %v, want at most %d", all, time.Since(began), most)
	}
}

// Limits that hold over time, without any.
func TestHintShares(t *testing.T) {
	now := time.Now()
	h := newHints(now)
	at := func(net, host, port int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(net >> 8), byte(net), byte(host)}), uint16(port))
	}
	total := 0
	for i := range 20_000 {
		if h.allow(at(i%60_000, 1, 1), false, now) {
			total++
		}
	}
	if total != 2*hintRate {
		t.Errorf("got %d hints at once to strangers, want %d", total, 2*hintRate)
	}
	if !h.allow(at(1, 2, 1), true, now) {
		t.Error("strangers have used up the share of known addresses")
	}
	for i := range 100 {
		now = now.Add(time.Second)
		for j := range 2 * hintRate {
			h.allow(at(i, j%250, j), false, now)
		}
	}
	if len(h.peers) > maxHinted || len(h.shares.sources) > maxSources {
		t.Errorf("got %d addresses and %d sources kept", len(h.peers), len(h.shares.sources))
	}
	h.note(at(1, 1, 1), now)
	for rule, tc := range map[string]struct {
		after time.Duration
		want  bool
	}{"at once": {0, true}, "just before the rest is over": {hintRest - 1, true}, "afterwards": {hintRest, false}} {
		if got := h.resting(at(1, 1, 1), now.Add(tc.after)); got != tc.want {
			t.Errorf("%s: resting %v, want %v", rule, got, tc.want)
		}
	}
	forged := 0
	for i := range 16_000 { // in 5 s
		h.note(at(i, i%250, i), now)
	}
	for i := range 1000 {
		if h.resting(at(20_000+i, 1, 1), now) {
			forged++
		}
	}
	if forged > 250 {
		t.Errorf("16,000 forged hellos keep hints from %d of 1,000 other addresses, want some 150", forged)
	}
}

// Where a handshake is under way or has just begun, and where somebody has a session, nobody is
// told anything.
func TestNoHintWhileAHandshakeIsUnderWay(t *testing.T) {
	s := listen(t, Config{}, echo)
	silent := func(rule string, c *rawClient) {
		t.Helper()
		for _, b := range [][]byte{recordOf(record.ApplicationData, 1, 60), recordOf(record.TLS12CID, 1, 60)} {
			c.send(b)
			if err := c.hear(150*time.Millisecond, record.IsHelloRequest); err == nil {
				t.Errorf("%s: a record of type %d was answered with a hint", rule, b[0])
			}
		}
	}
	half := newRaw(t, "127.0.0.1", s.Addr(), s.secret.PSK())
	if err := half.hello(); err != nil {
		t.Fatal(err)
	}
	first := newRaw(t, "127.0.0.1", s.Addr(), s.secret.PSK())
	hellos := s.Stats().Hellos
	first.send(half.sent[0])
	eventually(t, "the hello was read", func() bool { return s.Stats().Hellos > hellos })
	silent("after a first hello", first)
	silent("half way", half)
	for _, cid := range []bool{false, true} {
		c, _ := s.rawSession(t, "127.0.0.1", cid)
		silent("with a session", c)
		_ = c.do(stepClose)
		within(t, s.closed)
		silent("when it is over, soon after it began", c)
	}
}

// A session without connection ID whose address moves cannot be found any more: its node gets the
// hint at the new one.
func TestHintAfterAMoveWithoutConnectionID(t *testing.T) {
	s := listen(t, Config{}, echo)
	c, _ := s.rawSession(t, "127.0.0.1", false)
	got := newUnknown(t, s.Addr()).answers(t, c.seal(record.ApplicationData, get(1)))
	if len(got) != 1 || !record.IsHelloRequest(got[0]) {
		t.Errorf("got %x, want a hint", got)
	}
	if err := c.request(); err != nil {
		t.Errorf("the session does not go on where it was: %v", err)
	}
}

// Whatever is sent to one gateway with another's address: they do not answer each other.
func TestTwoGatewaysDoNotAnswerEachOther(t *testing.T) {
	a, b := listen(t, Config{}, echo), listen(t, Config{}, echo)
	// Each takes the middle for the other.
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
	for _, typ := range []byte{record.ChangeCipherSpec, record.Alert, record.Handshake, record.ApplicationData, 24, record.TLS12CID, 26} {
		for epoch := range byte(3) {
			to(a, recordOf(typ, epoch, 100))
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
		t.Errorf("got %d datagrams, %d hints of the first and %d of the second, want the first's alone", passed, a.Stats().Hints, b.Stats().Hints)
	}
}

// After a start each address is asked once, in order, and none that has come back meanwhile.
func TestHintsAtTheStart(t *testing.T) {
	s := listen(t, Config{}, echo)
	there, _ := s.rawSession(t, "127.0.0.1", true)
	var sockets []unknownPeer
	var addrs []netip.AddrPort
	for range 20 {
		c := newUnknown(t, s.Addr())
		sockets = append(sockets, c)
		addrs = append(addrs, c.LocalAddr().(*net.UDPAddr).AddrPort())
	}
	addrs = append(addrs, there.conn.LocalAddr().(*net.UDPAddr).AddrPort(), netip.AddrPort{})
	began := time.Now()
	s.Hint(t.Context(), addrs)
	if took := time.Since(began); took < time.Duration(len(sockets)-1)*time.Second/hintRate {
		t.Errorf("got %d hints within %v, want them no faster than handshakes may come", len(sockets), took)
	}
	for i, c := range sockets {
		if got := c.answers(t); len(got) != 1 || !record.IsHelloRequest(got[0]) {
			t.Errorf("address %d: got %x, want one hint", i, got)
		}
	}
	if err := there.hear(100*time.Millisecond, record.IsHelloRequest); err == nil {
		t.Error("who has a session was asked")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.Hint(ctx, addrs) // ends
}

// A node answers a hint with a ping, whoever sent it, and keeps its session if that is answered;
// else it opens another from the same port while the old one is still there.
func TestNodeFollowsAHint(t *testing.T) {
	s := listen(t, Config{}, echo)
	n, c := s.throughNAT(t, echo)
	g := within(t, s.opened)
	for range 1000 {
		n.toNode(record.HelloRequest)
	}
	within(t, c.Hinted())
	if err := c.Ping(t.Context()); err != nil {
		t.Fatalf("ping: %v", err)
	}
	for range 1000 {
		n.toNode(record.HelloRequest)
	}
	if got, err := post(g, "still", 5*time.Second); err != nil || got != "still" {
		t.Errorf("after hints: got %q, %v", got, err)
	}
	from := c.node.guard.LocalAddr().String()
	next, err := c.Renew(t.Context(), echo)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = next.End(); within(t, next.Done()) }()
	within(t, c.Done())
	within(t, s.closed)
	g = within(t, s.opened)
	if got := next.node.guard.LocalAddr().String(); got != from {
		t.Errorf("got port %s, want that of before, %s", got, from)
	}
	for range 1000 {
		n.toNode(record.HelloRequest)
	}
	if got, err := post(g, "new", 5*time.Second); err != nil || got != "new" {
		t.Errorf("on the new session: got %q, %v", got, err)
	}
	if got, err := post(next, "up", 5*time.Second); err != nil || got != "up" {
		t.Errorf("on the new session: got %q, %v", got, err)
	}
}

// While the new handshake gets no answer the old session goes on, and a hint in the middle of a
// handshake does nothing.
func TestOldSessionGoesOnUntilTheNewOneIsThere(t *testing.T) {
	s := listen(t, Config{}, echo)
	n, c := s.throughNAT(t, echo)
	g := within(t, s.opened)
	s.Listener.mu.Lock()
	s.Listener.budget = newBudget(0) // no handshake begins
	s.Listener.mu.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	failed := make(chan error, 1)
	go func() {
		_, err := c.Renew(ctx, echo)
		failed <- err
	}()
	for i := 0; ; i++ {
		n.toNode(record.HelloRequest)
		if got, err := post(c, "up", 5*time.Second); err != nil || got != "up" {
			t.Fatalf("got %q, %v", got, err)
		}
		if got, err := post(g, "down", 5*time.Second); err != nil || got != "down" {
			t.Fatalf("got %q, %v", got, err)
		}
		select {
		case err := <-failed:
			if err == nil || i < 10 {
				t.Errorf("got %v after %d requests, want an error after many", err, i)
			}
			if got, err := post(c, "after", 5*time.Second); err != nil || got != "after" {
				t.Errorf("afterwards: got %q, %v", got, err)
			}
			return
		default:
		}
	}
}
