package transport

import (
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/plgd-dev/go-coap/v3/message/pool"
)

// Replayed datagrams of a session have no effect: not in the session, not after its end, and not in
// the node's next session, whether they come from the node's port or another one, with or without a
// connection ID.
func TestReplayHasNoEffect(t *testing.T) {
	var calls atomic.Int64
	s := startSite(t, Config{Handshake: time.Second},
		func(c *Conn, req, resp *pool.Message, at time.Time) { calls.Add(1); answerEcho(c, req, resp, at) })
	for _, cid := range []bool{false, true} {
		c := newRawClient(t, "127.0.0.1", s.Addr(), s.secret.PSK())
		c.asksCID = cid
		elsewhere, err := net.DialUDP("udp", nil, s.Addr().(*net.UDPAddr))
		if err != nil {
			t.Fatal(err)
		}
		defer elsewhere.Close()
		var capture [][]byte
		replay := func(when string, refused int) {
			t.Helper()
			was, before := calls.Load(), s.Stats()
			for _, b := range capture {
				for _, u := range []*net.UDPConn{c.conn, elsewhere} {
					if _, err := u.Write(b); err != nil {
						t.Fatal(err)
					}
				}
			}
			if c.master != nil { // when this is answered, the gateway has read the whole capture
				if err := c.requestOnce(); err != nil {
					t.Errorf("cid %v, %s: %v", cid, when, err)
				}
				was++
			}
			if got := calls.Load(); got != was {
				t.Errorf("cid %v, %s: %d requests were handled again", cid, when, got-was)
			}
			got := s.Stats()
			// There are more if the replay also began a handshake.
			n := got.Replayed + got.Undecryptable - before.Replayed - before.Undecryptable
			if n < uint64(refused) {
				t.Errorf("cid %v, %s: a session refused %d records, want at least %d", cid, when, n, refused)
			}
			if got.Moved != 0 || len(s.opened) != 0 || len(s.closed) != 0 {
				t.Errorf("cid %v, %s: got %+v, %d opened, %d closed; want no change", cid, when, got,
					len(s.opened), len(s.closed))
			}
		}
		begin := func() *Conn {
			t.Helper()
			if err := c.completeHandshake(); err != nil {
				t.Fatal(err)
			}
			g := receiveFrom(t, s.opened)
			for range 3 {
				if err := c.requestOnce(); err != nil {
					t.Fatal(err)
				}
			}
			return g
		}
		begin()
		capture = append(capture, c.sent...)
		if cid {
			replay("in the same session", 2*4) // the Finished and three requests, each from both ports
		} else {
			replay("in the same session", 4)
		}
		_ = c.doStep(stepClose)
		receiveFrom(t, s.closed)
		capture = append(capture, c.sent[len(c.sent)-1])
		c.master = nil
		replay("after its end", 0)
		eventually(t, "a handshake that the replay began has ended",
			func() bool { return s.Stats().HalfOpen == 0 })
		_ = c.receiveUntil(10*time.Millisecond, func([]byte) bool { return false }) // reads its answers
		g := begin()
		if cid {
			replay("in the next session", 0) // it has another connection ID, so the records reach no session
		} else {
			replay("in the next session", 5)
		}
		if g.Context().Err() != nil || s.Sessions() != 1 {
			t.Errorf("cid %v: %d sessions, want only the node's", cid, s.Sessions())
		}
		_ = c.doStep(stepClose)
		receiveFrom(t, s.closed)
	}
}
