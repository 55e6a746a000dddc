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

// Forged records from a live node's own address, in the clear: none of them ends its session or
// holds it up.
func TestForgedPlaintextFromALiveAddress(t *testing.T) {
	s := listen(t, Config{}, echo)
	n, c := s.throughNAT(t, nil)
	makeRecord := func(typ byte, body ...byte) []byte {
		return append([]byte{typ, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 99, 0, byte(len(body))}, body...)
	}
	hello := n.firstFlight()
	forged := map[string]func() []byte{
		"hellos": func() []byte {
			h := append([]byte(nil), hello...)
			_, _ = rand.Read(h[record.HeaderSize+record.HandshakeHeaderSize+2:][:32])
			return h
		},
		"the hello of its own session":       func() []byte { return hello },
		"application data":                   func() []byte { return makeRecord(23, 0x40, 1, 0, 1) },
		"an unknown type":                    func() []byte { return makeRecord(99, 1) },
		"a ChangeCipherSpec":                 func() []byte { return makeRecord(record.ChangeCipherSpec, 1) },
		"a ChangeCipherSpec of another body": func() []byte { return makeRecord(record.ChangeCipherSpec, 2) },
		"a fatal alert":                      func() []byte { return makeRecord(record.Alert, 2, 40) },
		"a close_notify":                     func() []byte { return makeRecord(record.Alert, 1, 0) },
		"a ClientKeyExchange": func() []byte {
			return makeRecord(record.Handshake, record.ClientKeyExchange, 0, 0, 2, 0, 2, 0, 0, 0, 0, 0, 2, 0, 0)
		},
		"half a datagram": func() []byte { return makeRecord(23)[:9] },
		"encrypted bytes of nobody": func() []byte {
			return append([]byte{23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 99, 0, 24}, make([]byte, 24)...)
		},
		"encrypted bytes of the next epoch": func() []byte {
			return append([]byte{23, 0xfe, 0xfd, 0, 2, 0, 0, 0, 0, 0, 99, 0, 24}, make([]byte, 24)...)
		},
		"a connection ID of nobody": func() []byte {
			return append([]byte{record.TLS12CID, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 99}, make([]byte, 40)...)
		},
		"a hello in pieces": func() []byte { h := append([]byte(nil), hello...); h[record.HeaderSize+11]--; return h },
	}
	for name, f := range forged {
		for range 1000 {
			n.inject(f())
		}
		if got, err := post(c, name, 5*time.Second); err != nil || got != name {
			t.Fatalf("after 1,000 times %s: got %q, %v", name, got, err)
		}
	}
	if got := s.Stats(); got.Sessions != 1 || got.HalfOpen != 0 || got.Handshakes != 1 || got.Cookies < 1000 {
		t.Errorf("got %+v, want one session, one handshake, and a cookie for each hello", got)
	}
}

// A node that lost its power comes back on its port, while its old session still stands.
func TestPowerCycleOnOnePort(t *testing.T) {
	s := listen(t, Config{}, echo)
	n := newNAT(t, s.Addr())
	for i := range 20 {
		began := time.Now()
		c, err := s.try(t, n.addr(), known, s.secret, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := post(c, "hello", time.Second); err != nil || got != "hello" {
			t.Fatalf("cycle %d: got %q, %v", i, got, err)
		}
		if d := time.Since(began); d > time.Second {
			t.Errorf("cycle %d: served after %v, want less than 1 s", i, d)
		}
		g := within(t, s.opened)
		if i > 0 {
			within(t, s.closed) // the one before
		}
		if g.Context().Err() != nil || s.Sessions() != 1 {
			t.Errorf("cycle %d: %d sessions, want the new one", i, s.Sessions())
		}
	}
	if got := s.Stats().Replaced; got != 19 {
		t.Errorf("got %d replaced, want 19", got)
	}
}

// Both ways of the cookie serve a node: the stateless one, and the one for a pion that has changed.
func TestCookieWays(t *testing.T) {
	for _, stateful := range []bool{false, true} {
		var log lines
		s := listen(t, Config{stateful: stateful, Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))}, echo)
		if got := log.all(); (len(got) == 1) != stateful {
			t.Errorf("stateful %v: got the warnings %q", stateful, got)
		}
		if got := s.Stats().Stateless; got == stateful {
			t.Fatalf("got stateless %v: pion has changed, see pioncookie.go (%v)", got, cookieErr)
		}
		if got, err := post(s.dial(t, nil), "hello", 5*time.Second); err != nil || got != "hello" {
			t.Errorf("stateful %v: got %q, %v", stateful, got, err)
		}
		s.end()
	}
}

// A record of the session that was changed, or comes twice, from its own port or another: counted,
// and nothing else.
func TestForgedAndRepeatedRecordsAreCounted(t *testing.T) {
	s := listen(t, Config{}, echo)
	n, c := s.throughNAT(t, nil)
	g := within(t, s.opened)
	if _, err := post(c, "hello", 5*time.Second); err != nil {
		t.Fatal(err)
	}
	n.mu.Lock()
	last := n.up[len(n.up)-1]
	n.mu.Unlock()
	if last[0] != record.TLS12CID {
		t.Fatalf("got a record of type %d, want one with a connection ID", last[0])
	}
	forged := append([]byte(nil), last...)
	forged[10] += 50 // a number that was not yet
	for range 5 {
		n.inject(last)
		n.inject(forged)
	}
	n.rebind(t)
	n.inject(last)
	n.inject(forged)
	eventually(t, "all are counted", func() bool {
		got := s.Stats()
		return got.Undecryptable == 6 && got.Replayed == 6
	})
	if g.Path() != 0 || s.Sessions() != 1 || len(s.opened) != 0 {
		t.Errorf("got path %d, %d sessions; want nothing changed", g.Path(), s.Sessions())
	}
	if got, err := post(c, "still here", 5*time.Second); err != nil || got != "still here" {
		t.Errorf("got %q, %v", got, err)
	}
}

// Whoever begins anew on its port is served at once, with and without a connection ID, and hears
// nothing of the session before, which has other keys. A late repeat of the hello that began the
// present one begins nothing.
func TestReplacedSessionIsMute(t *testing.T) {
	s := listen(t, Config{}, echo)
	for _, cid := range []bool{false, true} {
		c := newRaw(t, "127.0.0.1", s.Addr(), s.secret.PSK())
		c.asksCID = cid
		var ids [][]byte
		const cycles = 20
		for i := range cycles + 1 {
			began := time.Now()
			if err := c.handshake(); err != nil {
				t.Fatal(err)
			}
			if i < cycles { // the last listens for what else is said
				if err := c.request(); err != nil {
					t.Fatal(err)
				}
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("cid %v, cycle %d: served after %v, want it at once", cid, i, took)
			}
			ids = append(ids, c.cid)
			within(t, s.opened)
			if i > 0 {
				within(t, s.closed)
			}
		}
		if err := c.hear(200*time.Millisecond, func(r []byte) bool { return r[0] == record.Alert }); err == nil {
			t.Errorf("cid %v: the node was told that its session before has ended", cid)
		}
		for i, id := range ids[:cycles] {
			if cid && bytes.Equal(id, ids[i+1]) {
				t.Errorf("got the connection ID % x in two sessions, want a new one", id)
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
		if err := c.request(); err != nil {
			t.Fatal(err)
		}
		if got := s.Stats(); got.HalfOpen != 0 || got.Handshakes != was.Handshakes {
			t.Errorf("cid %v: got %+v, want no handshake begun by a late hello", cid, got)
		}
	}
}

// Only the newest record of a session moves its address: one that was held back does not, whoever
// sends it.
func TestLateRecordMovesNothing(t *testing.T) {
	s := listen(t, Config{}, echo)
	c, g := s.rawSession(t, "127.0.0.1", true)
	elsewhere := newRaw(t, "127.0.0.1", s.Addr(), nil)
	c.mid++
	late := c.seal(protocol.ContentTypeApplicationData, get(c.mid))
	held := c.mid
	if err := c.request(); err != nil {
		t.Fatal(err)
	}
	elsewhere.send(late)
	if err := c.answered(held); err != nil {
		t.Errorf("the late record: %v, want its answer where the node is", err)
	}
	if got := s.Stats(); got.Moved != 0 || g.Path() != 0 {
		t.Errorf("got %+v, want the session where it was", got)
	}
	c.mid++
	elsewhere.send(c.seal(protocol.ContentTypeApplicationData, get(c.mid)))
	eventually(t, "the newest record moves it", func() bool { return s.Stats().Moved == 1 && g.Path() == 1 })
	_ = c.do(stepClose)
	within(t, s.closed)
	eventually(t, "nothing is left at either address", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.peers) == 0 && len(s.cids) == 0
	})
}

// A node whose address another one has now, as behind a router, is not that one: its connection ID
// finds its session as before.
func TestAddressOfAnotherNode(t *testing.T) {
	s := listen(t, Config{}, echo)
	c, _ := s.rawSession(t, "127.0.0.1", true)
	other := rawAt(c.conn, s.secret.PSK())
	other.asksCID, other.identity = true, string(another)
	if err := other.handshake(); err != nil {
		t.Fatal(err)
	}
	if got := within(t, s.opened).Identity(); got != string(another) || s.Sessions() != 2 {
		t.Errorf("got a session of %s, %d in all, want both nodes", got, s.Sessions())
	}
	for range 3 {
		for _, c := range []*rawClient{c, other} {
			if err := c.request(); err != nil {
				t.Error(err)
			}
		}
	}
	if got := s.Stats(); got.Replaced != 0 || len(s.closed) != 0 {
		t.Errorf("got %+v, want no session to end", got)
	}
}
