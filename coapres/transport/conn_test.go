package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/protocol"
	coap "github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/message/pool"

	"latchkey/coapres/transport/message"
)

func TestHandlerOncePerRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		var at time.Time
		_, peer := newMemLink(t, func(c *Conn, req, resp *pool.Message, read time.Time) {
			calls.Add(1)
			at = read
			time.Sleep(500 * time.Millisecond)
			answerEcho(c, req, resp, read)
		})
		m := makeCON(t, 7, "token", "body")
		began := time.Now()
		for range 4 { // three of them while the first is in flight
			_, _ = peer.Write(m)
			time.Sleep(100 * time.Millisecond)
		}
		first := peer.nextDatagram(time.Second)
		_, _ = peer.Write(m)
		second := peer.nextDatagram(time.Second)
		if calls.Load() != 1 {
			t.Errorf("the handler was called %d times, want once", calls.Load())
		}
		if !at.Equal(began) {
			t.Errorf("the request was read at %v, want %v", at, began)
		}
		if first == nil || !bytes.Equal(first, second) {
			t.Errorf("got %x and for the repetition %x, want the same bytes", first, second)
		}
		if want := append([]byte{0x65, 0x45, 0, 7}, "token\xffbody"...); !bytes.Equal(first, want) {
			t.Errorf("got %x, want %x", first, want)
		}
		if got := peer.nextDatagram(time.Minute); got != nil {
			t.Errorf("got %x, want no further message", got)
		}
	})
}

func TestAnswerTypes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, peer := newMemLink(t, answerEcho)
		_, _ = peer.Write(makeNON(t, 7, "t", "x"))
		if got := peer.nextDatagram(time.Second); len(got) < 4 || got[0] != 0x51 || got[1] != 0x45 {
			t.Errorf("a non-confirmable request: got %x, want a non-confirmable 2.05", got)
		}
		_, _ = peer.Write([]byte{0x40, 0, 0, 9})
		if got := peer.nextDatagram(time.Second); !bytes.Equal(got, []byte{0x70, 0, 0, 9}) {
			t.Errorf("a ping: got %x, want a Reset", got)
		}
		_, _ = peer.Write([]byte{0x40, 31, 0, 10}) // 0.31
		if got := peer.nextDatagram(time.Second); len(got) < 2 || got[1] != 0x45 {
			t.Errorf("an unknown method: got %x, want it handled", got)
		}
		silent, other := newMemLink(t, nil)
		_, _ = other.Write(makeCON(t, 1, "t", "x"))
		if got := other.nextDatagram(time.Second); len(got) < 2 || got[1] != byte(codes.NotFound) {
			t.Errorf("without a handler: got %x, want 4.04", got)
		}
		if silent.Identity() != "lk-memory" {
			t.Errorf("got identity %q", silent.Identity())
		}
	})
}

// A handler that waits delays neither other requests nor answers to our own requests.
func TestWaitingHandlerDelaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		c, peer := newMemLink(t, func(c *Conn, req, resp *pool.Message, at time.Time) {
			if b, _ := req.ReadBody(); string(b) == "wait" {
				<-release
			}
			answerEcho(c, req, resp, at)
		})
		for mid := range uint16(message.MaxInFlight - 1) {
			_, _ = peer.Write(makeCON(t, mid, "t", "wait"))
		}
		_, _ = peer.Write(makeCON(t, 100, "t", "go"))
		if got := peer.nextDatagram(time.Second); len(got) < 4 || got[3] != 100 {
			t.Errorf("got %x, want the answer to the last request", got)
		}
		asked := make(chan error)
		go func() {
			_, err := postEcho(c, "x", time.Second)
			asked <- err
		}()
		req := peer.nextDatagram(time.Second)
		_, _ = peer.Write(append([]byte{0x64, 0x45}, req[2:8]...))
		if err := <-asked; err != nil {
			t.Errorf("our own request: %v", err)
		}
		close(release)
		for range message.MaxInFlight - 1 {
			if peer.nextDatagram(time.Second) == nil {
				t.Error("a request that waited was not answered")
			}
		}
	})
}

// Each side makes its own tokens and message IDs, so both use the same ones. Here each side sends
// requests at the same time, and more requests from within its handler, and no answer is confused.
func TestTokensOfBothSidesStayApart(t *testing.T) {
	s := startSite(t, Config{}, func(c *Conn, req, resp *pool.Message, at time.Time) {
		b, _ := req.ReadBody()
		back, err := postEcho(c, "back "+string(b), 5*time.Second)
		if err != nil {
			back = err.Error()
		}
		resp.SetCode(codes.Content)
		resp.SetBody(strings.NewReader("gateway " + back))
	})
	c := s.dialKnown(t, func(_ *Conn, req, resp *pool.Message, _ time.Time) {
		b, _ := req.ReadBody()
		resp.SetCode(codes.Content)
		resp.SetBody(strings.NewReader("node " + string(b)))
	})
	g := receiveFrom(t, s.opened)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 100 {
				body := fmt.Sprintf("%d-%d", i, j)
				conn, want := c, "gateway node back "+body
				if i%2 == 1 {
					conn, want = g, "node "+body
				}
				if got, err := postEcho(conn, body, 5*time.Second); err != nil || got != want {
					t.Errorf("got %q, %v, want %q", got, err, want)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestDo(t *testing.T) {
	for _, tc := range []struct {
		name string
		do   func(t *testing.T, c *Conn, peer *memConn)
	}{
		{"without a deadline is an error", func(t *testing.T, c *Conn, _ *memConn) {
			m := pool.NewMessage(context.Background())
			m.SetCode(codes.GET)
			if _, err := c.Do(m); err == nil {
				t.Error("got no error")
			}
		}},
		{"ends at its deadline when nobody answers", func(t *testing.T, c *Conn, _ *memConn) {
			began := time.Now()
			_, err := postEcho(c, "x", 1500*time.Millisecond)
			if got := time.Since(began); !errors.Is(err, context.DeadlineExceeded) ||
				got != 1500*time.Millisecond {
				t.Errorf("got %v after %v, want its deadline", err, got)
			}
		}},
		{"sends nothing when its deadline is over", func(t *testing.T, c *Conn, peer *memConn) {
			if _, err := postEcho(c, "x", 0); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v, want its deadline", err)
			}
			if got := peer.nextDatagram(time.Minute); got != nil {
				t.Errorf("got %x", got)
			}
		}},
		{"sends no retransmission after its deadline", func(t *testing.T, c *Conn, peer *memConn) {
			_, _ = postEcho(c, "x", 1200*time.Millisecond)
			for len(peer.in) > 0 {
				<-peer.in
			}
			if got := peer.nextDatagram(time.Minute); got != nil {
				t.Errorf("got %x", got)
			}
		}},
		{"an empty ACK is no answer, but ends the retransmission",
			func(t *testing.T, c *Conn, peer *memConn) {
				done := make(chan error)
				go func() {
					_, err := postEcho(c, "x", 10*time.Second)
					done <- err
				}()
				req := peer.nextDatagram(time.Second)
				_, _ = peer.Write([]byte{0x60, 0, req[2], req[3]})
				if got := peer.nextDatagram(8 * time.Second); got != nil {
					t.Errorf("got %x after the ACK", got)
				}
				_, _ = peer.Write(append([]byte{0x44, 0x45, 0xab, 0xcd}, req[4:8]...)) // a separate response
				if err := <-done; err != nil {
					t.Error(err)
				}
				if got := peer.nextDatagram(time.Second); !bytes.Equal(got, []byte{0x60, 0, 0xab, 0xcd}) {
					t.Errorf("a confirmable response got %x, want an empty ACK", got)
				}
				_, _ = peer.Write(append([]byte{0x44, 0x45, 0xab, 0xcd}, req[4:8]...))
				if got := peer.nextDatagram(time.Second); !bytes.Equal(got, []byte{0x60, 0, 0xab, 0xcd}) {
					t.Errorf("its repetition got %x, want an empty ACK", got)
				}
			}},
		{"an answer with another token is ignored", func(t *testing.T, c *Conn, peer *memConn) {
			done := make(chan error)
			go func() {
				_, err := postEcho(c, "x", 2*time.Second)
				done <- err
			}()
			req := peer.nextDatagram(time.Second)
			_, _ = peer.Write([]byte{0x64, 0x45, req[2], req[3], 9, 9, 9, 9})
			if err := <-done; !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v, want its deadline", err)
			}
		}},
		{"an answer with a token that was never used is rejected",
			func(t *testing.T, c *Conn, peer *memConn) {
				for _, token := range []string{"", "\x00\x00\x00\x00", "\x00\x00\x00\x01",
					"\x00\x00\x00\x01\x00",
					"\xff\xff\xff\xff"} {
					m := encodeMessage(t, coap.Confirmable, codes.Content, 0xabcd, []byte(token), "", "x")
					_, _ = peer.Write(m)
					if got := peer.nextDatagram(time.Second); !bytes.Equal(got, []byte{0x70, 0, 0xab, 0xcd}) {
						t.Errorf("token %x: got %x, want a Reset", token, got)
					}
					_, _ = peer.Write(encodeMessage(t, coap.NonConfirmable, codes.Content, 0xabce,
						[]byte(token), "", "x"))
					if got := peer.nextDatagram(time.Second); got != nil {
						t.Errorf("token %x, non-confirmable: got %x, want no answer", token, got)
					}
				}
				if c.Context().Err() != nil {
					t.Error("the answers ended the session")
				}
			}},
		{"ends when the peer closes", func(t *testing.T, c *Conn, peer *memConn) {
			time.AfterFunc(time.Second, func() { _ = peer.Close() })
			began := time.Now()
			_, err := postEcho(c, "x", time.Minute)
			if got := time.Since(began); err == nil || got != time.Second {
				t.Errorf("got %v after %v, want an error after 1 s", err, got)
			}
		}},
		{"ends when this side ends the association", func(t *testing.T, c *Conn, _ *memConn) {
			time.AfterFunc(time.Second, func() { _ = c.End() })
			began := time.Now()
			_, err := postEcho(c, "x", time.Minute)
			if got := time.Since(began); err == nil || got != time.Second {
				t.Errorf("got %v after %v, want an error after 1 s", err, got)
			}
			if _, err = postEcho(c, "x", time.Minute); err == nil || time.Since(began) != time.Second {
				t.Errorf("after the end: got %v, want an error at once", err)
			}
		}},
		{"a second request does not wait for the first one's answer",
			func(t *testing.T, c *Conn, peer *memConn) {
				go func() { _, _ = postEcho(c, "read", 5*time.Second) }()
				if peer.nextDatagram(time.Second) == nil {
					t.Fatal("nothing sent")
				}
				done := make(chan error)
				go func() {
					_, err := postEcho(c, "command", time.Second)
					done <- err
				}()
				req := peer.nextDatagram(100 * time.Millisecond)
				if req == nil {
					t.Fatal("the second request waits for the answer to the first one")
				}
				_, _ = peer.Write(append([]byte{0x64, 0x45}, req[2:8]...))
				if err := <-done; err != nil {
					t.Error(err)
				}
			}},
		{"no token is used twice", func(t *testing.T, c *Conn, peer *memConn) {
			seen := map[string]bool{}
			for range 100 {
				_, _ = postEcho(c, "x", time.Millisecond)
				m := coap.Token(peer.nextDatagram(time.Second)[4:8]).String()
				if seen[m] {
					t.Fatalf("token %s was used twice", m)
				}
				seen[m] = true
			}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, peer := newMemLink(t, nil)
				tc.do(t, c, peer)
			})
		})
	}
}

// Done is closed only after all handlers of the association have returned.
func TestDoneWaitsForHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ended atomic.Bool
		c, peer := newMemLink(t, func(*Conn, *pool.Message, *pool.Message, time.Time) {
			time.Sleep(5 * time.Second)
			ended.Store(true)
		})
		_, _ = peer.Write(makeCON(t, 1, "t", "x"))
		synctest.Wait()
		_ = c.End()
		<-c.Done()
		if !ended.Load() {
			t.Error("the association is done while a handler still runs")
		}
		if c.Context().Err() == nil {
			t.Error("its context has not ended")
		}
	})
}

// openSession returns the two ends of a new session. It waits for the gateway's end, because before
// that pion may drop records.
func (s *site) openSession(t *testing.T) (*dtls.Conn, *Conn) {
	t.Helper()
	dc, err := s.dialDTLS(t, dtls.WithCipherSuites(suites...))
	if err != nil {
		t.Fatal(err)
	}
	return dc, receiveFrom(t, s.opened)
}

// Requests that a node sends right before its close_notify are handled.
func TestRequestBeforeTheEndIsHandled(t *testing.T) {
	heard := make(chan string, 8)
	s := startSite(t, Config{},
		func(_ *Conn, req, _ *pool.Message, _ time.Time) { heard <- string(req.Token()) })
	for range 50 {
		dc, _ := s.openSession(t)
		got, want := map[string]bool{}, map[string]bool{"a": true, "b": true, "c": true}
		for token := range want {
			if _, err := dc.Write(makeCON(t, uint16(token[0]), token, "x")); err != nil {
				t.Fatal(err)
			}
		}
		if err := dc.Close(); err != nil {
			t.Fatal(err)
		}
		for range want {
			got[receiveFrom(t, heard)] = true
		}
		if !maps.Equal(got, want) {
			t.Fatalf("got requests %v, want %v", got, want)
		}
	}
}

// The same when this side ends the session.
func TestRequestBeforeOurEndIsHandled(t *testing.T) {
	heard := make(chan string, 8)
	s := startSite(t, Config{},
		func(_ *Conn, req, _ *pool.Message, _ time.Time) { heard <- string(req.Token()) })
	for i := range 50 {
		node, c := s.openRawSession(t, "127.0.0.1", i%2 == 0)
		s.handleDatagram(node.encryptRecord(protocol.ContentTypeApplicationData, makeCON(t, 1, "t", "x")),
			node.localAddr())
		_ = c.End() // at once
		if got := receiveFrom(t, heard); got != "t" {
			t.Fatalf("got %q, want the request", got)
		}
		s.handleDatagram(node.encryptRecord(protocol.ContentTypeApplicationData, makeCON(t, 2, "late", "x")),
			node.localAddr())
		receiveFrom(t, s.closed)
		_ = node.conn.Close()
	}
	if len(heard) > 0 {
		t.Errorf("got %q, want no request that came after the end", <-heard)
	}
}

// The same when a new session replaces it at its address.
func TestRequestBeforeAnotherSessionIsHandled(t *testing.T) {
	heard := make(chan string, 8)
	s := startSite(t, Config{},
		func(_ *Conn, req, _ *pool.Message, _ time.Time) { heard <- string(req.Token()) })
	for i := range 50 {
		node, _ := s.openRawSession(t, "127.0.0.1", i%2 == 0)
		next := newRawClientOn(node.conn, s.secret.PSK())
		next.seen[node.server], next.sequence[0] = true, node.sequence[0]
		if err := next.doStep(stepHello); err != nil {
			t.Fatal(err)
		}
		next.deliverTo = func(b []byte) { s.handleDatagram(b, node.localAddr()) }
		node.deliverTo = next.deliverTo
		_, _ = next.doStep(stepKeyExchange), next.doStep(stepChangeCipher)
		node.sendEncrypted(protocol.ContentTypeApplicationData, makeCON(t, 1, "t", "x"))
		_ = next.doStep(stepFinished)
		if got := receiveFrom(t, heard); got != "t" {
			t.Fatalf("round %d: got %q, want the request", i, got)
		}
		receiveFrom(t, s.closed)
		receiveFrom(t, s.opened)
		_ = node.conn.Close()
	}
}

// torn is a connection that can be read but not written.
type torn struct{ memLink }

func (torn) Queue([]byte) error { return net.ErrClosed }

// An answer that cannot be sent is logged, and ends nothing: the node may have sent more.
func TestUnsentAnswerIsLogged(t *testing.T) {
	var text bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		a, peer := newMemPair()
		c := runConnLogged(t, torn{memLink{memConn: a}}, a, answerEcho,
			slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelDebug})))
		_, _ = peer.Write(makeCON(t, 1, "t", "x"))
		synctest.Wait()
		if c.Context().Err() != nil {
			t.Error("the association has ended, although the node may send more")
		}
		_ = c.End()
		<-c.Done()
	})
	if !strings.Contains(text.String(), "message not sent") {
		t.Errorf("logged %q, want a line about the unsent answer", text.String())
	}
}

// A Reset means that no answer will come, so it ends the call long before its deadline.
func TestResetEndsTheCall(t *testing.T) {
	c, peer := newMemLink(t, nil)
	done := make(chan error, 1)
	began := time.Now()
	go func() {
		_, err := postEcho(c, "hello", patienceOfTests)
		done <- err
	}()
	m := peer.nextDatagram(time.Second)
	if len(m) < 4 {
		t.Fatalf("got % x, want a request", m)
	}
	_, _ = peer.Write([]byte{0x70, 0, m[2], m[3]})
	if err := receiveFrom(t, done); !errors.Is(err, errReset) || time.Since(began) > patienceOfTests/2 {
		t.Errorf("got %v after %v, want errReset at once", err, time.Since(began))
	}
	if m := peer.nextDatagram(2 * time.Second); m != nil {
		t.Errorf("got % x after the Reset, want no retransmission", m)
	}
}

func TestLastHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, peer := newMemLink(t, nil)
		began := time.Now()
		if got := c.LastHeard(); !got.Equal(began) {
			t.Errorf("before any message: got %v, want the start %v", got, began)
		}
		time.Sleep(time.Minute)
		_, _ = peer.Write([]byte{1, 2, 3})
		synctest.Wait()
		if got := c.LastHeard(); !got.Equal(began.Add(time.Minute)) {
			t.Errorf("got %v, want the time of the message, even of a malformed one", got)
		}
	})
}

// hasty is a link whose other side answers at once and leaves.
type hasty struct {
	memLink
	answer func(request []byte)
}

func (h *hasty) Queue(m []byte) error { h.answer(m); return nil }

// An answer counts although the association has ended before its caller could look.
func TestAnswerRightBeforeTheEnd(t *testing.T) {
	for range 20 { // select takes one of several channels at random
		a, _ := newMemPair()
		l := &hasty{memLink: memLink{memConn: a}}
		c := runConnLogged(t, l, a, nil, orDiscard(nil))
		l.answer = func(m []byte) {
			c.receive(append([]byte{0x64, 0x45}, m[2:8]...), time.Now())
			_ = c.Close()
		}
		if _, err := postEcho(c, "x", patienceOfTests); err != nil {
			t.Fatalf("got %v, want the answer", err)
		}
	}
}

// A third call waits until one of the first two has its ACK, and goes on at once then. One whose
// time is over leaves its place to others.
func TestCallsWaitForTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, peer := newMemLink(t, nil)
		first := startRequest(c, codes.GET, time.Minute)
		req := peer.nextDatagram(time.Second)
		second := startRequest(c, codes.GET, 500*time.Millisecond)
		if peer.nextDatagram(time.Millisecond) == nil {
			t.Fatal("the second request was not sent")
		}
		gone := startRequest(c, codes.GET, 100*time.Millisecond)
		third := startRequest(c, codes.GET, time.Minute)
		if err := <-gone; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a call without a turn: got %v, want its deadline", err)
		}
		if got := peer.nextDatagram(100 * time.Millisecond); got != nil {
			t.Errorf("got %x while two messages wait for their ACK", got)
		}
		_, _ = peer.Write([]byte{0x60, 0, req[2], req[3]})
		next := peer.nextDatagram(time.Millisecond)
		if next == nil {
			t.Fatal("after an ACK the next request was not sent")
		}
		if err := <-second; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want its deadline", err)
		}
		for _, m := range [][]byte{next, req} {
			_, _ = peer.Write(makeResponse(t, coap.NonConfirmable, 1, m))
		}
		if err := errors.Join(<-first, <-third); err != nil {
			t.Error(err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.unacked != 0 || c.calls != nil || len(c.turns) != 0 || c.exchange.Due() != (time.Time{}) {
			t.Errorf("after all: %d unacknowledged, %d calls, %d turns", c.unacked, len(c.calls), len(c.turns))
		}
	})
}
