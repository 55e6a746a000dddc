package transport

import (
	"bytes"
	"crypto/rand"
	"log/slog"
	"testing"
	"time"

	"github.com/pion/dtls/v3/pkg/protocol"

	"latchkey/coapres/transport/record"
)

// Forged records from a live node's address neither end nor delay its session.
func TestForgedPlaintextFromALiveAddress(t *testing.T) {
	s := startSite(t, Config{}, answerEcho)
	n, c := s.throughNAT(t, nil)
	makeRecord := func(typ byte, body ...byte) []byte {
		return append([]byte{typ, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 99, 0, byte(len(body))}, body...)
	}
	hello := n.firstHello()
	forged := map[string]func() []byte{
		"hellos": func() []byte {
			h := append([]byte(nil), hello...)
			_, _ = rand.Read(h[record.HeaderSize+record.HandshakeHeaderSize+2:][:32])
			return h
		},
		"the hello that began the session":   func() []byte { return hello },
		"application data":                   func() []byte { return makeRecord(23, 0x40, 1, 0, 1) },
		"an unknown type":                    func() []byte { return makeRecord(99, 1) },
		"a ChangeCipherSpec":                 func() []byte { return makeRecord(record.ChangeCipherSpec, 1) },
		"a ChangeCipherSpec of another body": func() []byte { return makeRecord(record.ChangeCipherSpec, 2) },
		"a fatal alert":                      func() []byte { return makeRecord(record.Alert, 2, 40) },
		"a close_notify":                     func() []byte { return makeRecord(record.Alert, 1, 0) },
		"a ClientKeyExchange": func() []byte {
			return makeRecord(record.Handshake, record.ClientKeyExchange,
				0, 0, 2, 0, 2, 0, 0, 0, 0, 0, 2, 0, 0)
		},
		"a truncated record": func() []byte { return makeRecord(23)[:9] },
		"a record without a valid key": func() []byte {
			return append([]byte{23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 99, 0, 24}, make([]byte, 24)...)
		},
		"a record of the next epoch": func() []byte {
			return append([]byte{23, 0xfe, 0xfd, 0, 2, 0, 0, 0, 0, 0, 99, 0, 24}, make([]byte, 24)...)
		},
		"an unknown connection ID": func() []byte {
			return append([]byte{record.TLS12CID, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 99}, make([]byte, 40)...)
		},
		"a fragmented hello": func() []byte {
			h := append([]byte(nil), hello...)
			h[record.HeaderSize+11]--
			return h
		},
	}
	for name, f := range forged {
		for range 1000 {
			n.sendToGateway(f())
		}
		if got, err := postEcho(c, name, 5*time.Second); err != nil || got != name {
			t.Fatalf("after 1,000 times %s: got %q, %v", name, got, err)
		}
	}
	if got := s.Stats(); got.Sessions != 1 || got.HalfOpen != 0 || got.Handshakes != 1 || got.Cookies < 1000 {
		t.Errorf("got %+v, want one session, one handshake, and a cookie for each hello", got)
	}
}

// A node that lost its power comes back on its port while its old session is still open, and is
// served at once.
func TestPowerCycleOnOnePort(t *testing.T) {
	s := startSite(t, Config{}, answerEcho)
	n := newNAT(t, s.Addr())
	for i := range 20 {
		began := time.Now()
		c, err := s.tryDial(t, n.addr(), known, s.secret, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := postEcho(c, "hello", time.Second); err != nil || got != "hello" {
			t.Fatalf("cycle %d: got %q, %v", i, got, err)
		}
		if d := time.Since(began); d > time.Second {
			t.Errorf("cycle %d: served after %v, want less than 1 s", i, d)
		}
		g := receiveFrom(t, s.opened)
		if i > 0 {
			receiveFrom(t, s.closed) // the session before
		}
		if g.Context().Err() != nil || s.Sessions() != 1 {
			t.Errorf("cycle %d: %d sessions, want the new one", i, s.Sessions())
		}
	}
	if got := s.Stats().Replaced; got != 19 {
		t.Errorf("got %d replaced, want 19", got)
	}
}

// A node can connect in both modes: with our stateless cookie, and with pion's own cookies, which
// are used if pion has changed.
func TestCookieWays(t *testing.T) {
	for _, stateful := range []bool{false, true} {
		var log lines
		s := startSite(t, Config{stateful: stateful,
			Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))},
			answerEcho)
		if got := log.list(); (len(got) == 1) != stateful {
			t.Errorf("stateful %v: got the warnings %q", stateful, got)
		}
		if got := s.Stats().Stateless; got == stateful {
			t.Fatalf("got stateless %v: pion has changed, see pioncookie.go (%v)", got, cookieErr)
		}
		if got, err := postEcho(s.dialKnown(t, nil), "hello", 5*time.Second); err != nil || got != "hello" {
			t.Errorf("stateful %v: got %q, %v", stateful, got, err)
		}
		s.end()
	}
}

// Forged and repeated records of a session, from its own port or another one, are counted and have
// no other effect.
func TestForgedAndRepeatedRecordsAreCounted(t *testing.T) {
	s := startSite(t, Config{}, answerEcho)
	n, c := s.throughNAT(t, nil)
	g := receiveFrom(t, s.opened)
	if _, err := postEcho(c, "hello", 5*time.Second); err != nil {
		t.Fatal(err)
	}
	n.mu.Lock()
	last := n.up[len(n.up)-1]
	n.mu.Unlock()
	if last[0] != record.TLS12CID {
		t.Fatalf("got a record of type %d, want one with a connection ID", last[0])
	}
	forged := append([]byte(nil), last...)
	forged[10] += 50 // a number that was not used yet
	for range 5 {
		n.sendToGateway(last)
		n.sendToGateway(forged)
	}
	n.rebind(t)
	n.sendToGateway(last)
	n.sendToGateway(forged)
	eventually(t, "all records are counted", func() bool {
		got := s.Stats()
		return got.Undecryptable == 6 && got.Replayed == 6
	})
	if g.Path() != 0 || s.Sessions() != 1 || len(s.opened) != 0 {
		t.Errorf("got path %d, %d sessions; want no change", g.Path(), s.Sessions())
	}
	if got, err := postEcho(c, "still here", 5*time.Second); err != nil || got != "still here" {
		t.Errorf("got %q, %v", got, err)
	}
}

// A node that opens a new session on its port is served at once, with and without a connection ID.
// It gets no alert of the old session, which has other keys. A late repetition of the hello that
// began the new session begins no handshake.
func TestReplacedSessionIsMute(t *testing.T) {
	s := startSite(t, Config{}, answerEcho)
	for _, cid := range []bool{false, true} {
		c := newRawClient(t, "127.0.0.1", s.Addr(), s.secret.PSK())
		c.asksCID = cid
		var ids [][]byte
		const cycles = 20
		for i := range cycles + 1 {
			began := time.Now()
			if err := c.completeHandshake(); err != nil {
				t.Fatal(err)
			}
			if i < cycles { // the last session only waits for alerts
				if err := c.requestOnce(); err != nil {
					t.Fatal(err)
				}
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("cid %v, cycle %d: served after %v, want it at once", cid, i, took)
			}
			ids = append(ids, c.cid)
			receiveFrom(t, s.opened)
			if i > 0 {
				receiveFrom(t, s.closed)
			}
		}
		if err := c.receiveUntil(200*time.Millisecond,
			func(r []byte) bool { return r[0] == record.Alert }); err == nil {
			t.Errorf("cid %v: the node got an alert of its old session", cid)
		}
		for i, id := range ids[:cycles] {
			if cid && bytes.Equal(id, ids[i+1]) {
				t.Errorf("got the connection ID % x in two sessions, want a new ID", id)
			}
		}
		was := s.Stats()
		var hello []byte
		for _, b := range c.sent {
			if typ, number, ok := record.ParseHandshake(b); ok && typ == record.ClientHello && number == 1 {
				hello = b
			}
		}
		c.send(hello)
		if err := c.requestOnce(); err != nil {
			t.Fatal(err)
		}
		if got := s.Stats(); got.HalfOpen != 0 || got.Handshakes != was.Handshakes {
			t.Errorf("cid %v: got %+v, want no handshake begun by a late hello", cid, got)
		}
	}
}

// Only the newest record of a session moves its address. A delayed record does not, whoever sends
// it.
func TestLateRecordMovesNothing(t *testing.T) {
	s := startSite(t, Config{}, answerEcho)
	c, g := s.openRawSession(t, "127.0.0.1", true)
	elsewhere := newRawClient(t, "127.0.0.1", s.Addr(), nil)
	c.mid++
	late := c.encryptRecord(protocol.ContentTypeApplicationData, makeGET(c.mid))
	held := c.mid
	if err := c.requestOnce(); err != nil {
		t.Fatal(err)
	}
	elsewhere.send(late)
	if err := c.awaitAnswer(held); err != nil {
		t.Errorf("the late record: %v, want its answer at the node's address", err)
	}
	if got := s.Stats(); got.Moved != 0 || g.Path() != 0 {
		t.Errorf("got %+v, want the session at its old address", got)
	}
	c.mid++
	elsewhere.send(c.encryptRecord(protocol.ContentTypeApplicationData, makeGET(c.mid)))
	eventually(t, "the newest record moves it", func() bool { return s.Stats().Moved == 1 && g.Path() == 1 })
	_ = c.doStep(stepClose)
	receiveFrom(t, s.closed)
	eventually(t, "nothing is left at either address", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.peers) == 0 && len(s.cids) == 0
	})
}

// Another node opens a session from the address of a live session, as can happen behind a router.
// The first session continues, because the gateway finds it by its connection ID.
func TestAddressOfAnotherNode(t *testing.T) {
	s := startSite(t, Config{}, answerEcho)
	c, _ := s.openRawSession(t, "127.0.0.1", true)
	other := newRawClientOn(c.conn, s.secret.PSK())
	other.asksCID, other.identity = true, string(another)
	if err := other.completeHandshake(); err != nil {
		t.Fatal(err)
	}
	if got := receiveFrom(t, s.opened).Identity(); got != string(another) || s.Sessions() != 2 {
		t.Errorf("got a session of %s, %d in all, want both nodes", got, s.Sessions())
	}
	for range 3 {
		for _, c := range []*rawClient{c, other} {
			if err := c.requestOnce(); err != nil {
				t.Error(err)
			}
		}
	}
	if got := s.Stats(); got.Replaced != 0 || len(s.closed) != 0 {
		t.Errorf("got %+v, want no session to end", got)
	}
}
