package transport

import (
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/plgd-dev/go-coap/v3/message/pool"
)

// What was captured of a session has no effect when it is sent again: not in it, not after its end,
// not in the node's next session, neither from the node's port nor from another; with and without a
// connection ID.
func TestCaptureSentAgain(t *testing.T) {
	var calls atomic.Int64
	s := listen(t, Config{Handshake: time.Second}, func(c *Conn, req, resp *pool.Message, at time.Time) { calls.Add(1); echo(c, req, resp, at) })
	for _, cid := range []bool{false, true} {
		c := newRaw(t, "127.0.0.1", s.Addr(), s.secret.PSK())
		c.asksCID = cid
		elsewhere, err := net.DialUDP("udp", nil, s.Addr().(*net.UDPAddr))
		if err != nil {
			t.Fatal(err)
		}
		defer elsewhere.Close()
		var capture [][]byte
		again := func(when string, refused int) {
			t.Helper()
			was, before := calls.Load(), s.Stats()
			for _, b := range capture {
				for _, u := range []*net.UDPConn{c.conn, elsewhere} {
					if _, err := u.Write(b); err != nil {
						t.Fatal(err)
					}
				}
			}
			if c.master != nil { // all of it has been read when this is answered
				if err := c.request(); err != nil {
					t.Errorf("cid %v, %s: %v", cid, when, err)
				}
				was++
			}
			if got := calls.Load(); got != was {
				t.Errorf("cid %v, %s: %d requests were handled again", cid, when, got-was)
			}
			got := s.Stats()
			if n := got.Replayed + got.Undecryptable - before.Replayed - before.Undecryptable; n < uint64(refused) { // more, when a handshake began again too
				t.Errorf("cid %v, %s: %d records came to a session and were refused, want at least %d", cid, when, n, refused)
			}
			if got.Moved != 0 || len(s.opened) != 0 || len(s.closed) != 0 {
				t.Errorf("cid %v, %s: got %+v, %d opened, %d closed; want nothing", cid, when, got, len(s.opened), len(s.closed))
			}
		}
		begin := func() *Conn {
			t.Helper()
			if err := c.handshake(); err != nil {
				t.Fatal(err)
			}
			g := within(t, s.opened)
			for range 3 {
				if err := c.request(); err != nil {
					t.Fatal(err)
				}
			}
			return g
		}
		begin()
		capture = append(capture, c.sent...)
		if cid {
			again("in the same session", 2*4) // its Finished and three requests, from both ports
		} else {
			again("in the same session", 4)
		}
		_ = c.do(stepClose)
		within(t, s.closed)
		capture = append(capture, c.sent[len(c.sent)-1])
		c.master = nil
		again("after its end", 0)
		eventually(t, "a handshake that was begun again has ended", func() bool { return s.Stats().HalfOpen == 0 })
		_ = c.hear(10*time.Millisecond, func([]byte) bool { return false }) // its answers
		g := begin()
		if cid {
			again("in the next session", 0) // which has another ID
		} else {
			again("in the next session", 5)
		}
		if g.Context().Err() != nil || s.Sessions() != 1 {
			t.Errorf("cid %v: %d sessions, want the node's own", cid, s.Sessions())
		}
		_ = c.do(stepClose)
		within(t, s.closed)
	}
}
