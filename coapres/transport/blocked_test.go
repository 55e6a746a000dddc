package transport

import (
	"bytes"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/dtls/v3"
	coap "github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/message/pool"

	"latchkey/coapres/transport/message"
)

// newBlockingHandler returns a handler that answers like answerEcho. It answers a request with the
// body "wait" only after release is closed.
func newBlockingHandler(calls *atomic.Int32, release <-chan struct{}) Handler {
	return func(c *Conn, req, resp *pool.Message, at time.Time) {
		calls.Add(1)
		if b, _ := req.ReadBody(); string(b) == "wait" {
			<-release
		}
		answerEcho(c, req, resp, at)
	}
}

// A session whose handlers all wait drops further requests, which cost no memory and no goroutine.
// Other messages are handled as usual.
func TestAllHandlersWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		release := make(chan struct{})
		c, peer := newMemLink(t, newBlockingHandler(&calls, release))
		for mid := range uint16(message.MaxInFlight) {
			_, _ = peer.Write(makeCON(t, mid, "t", "wait"))
		}
		synctest.Wait()
		goroutines := runtime.NumGoroutine()
		for i := range 10_000 {
			_, _ = peer.Write(makeCON(t, uint16(100+i), "t", "more"))
			_, _ = peer.Write(makeNON(t, uint16(30_000+i), "u", "more"))
			// A repetition of a waiting request.
			_, _ = peer.Write(makeCON(t, uint16(i%message.MaxInFlight), "t", "wait"))
		}
		synctest.Wait()
		if got := peer.nextDatagram(time.Second); got != nil {
			t.Errorf("got %x for requests beyond the bound, want no answer", got)
		}
		if got := calls.Load(); got != message.MaxInFlight {
			t.Errorf("got %d handlers, want %d", got, message.MaxInFlight)
		}
		if got := runtime.NumGoroutine(); got > goroutines {
			t.Errorf("got %d goroutines, want no more than the %d before", got, goroutines)
		}

		_, _ = peer.Write([]byte{0x40, 0, 0x99, 1})
		if got := peer.nextDatagram(time.Second); !bytes.Equal(got, []byte{0x70, 0, 0x99, 1}) {
			t.Errorf("a ping: got %x, want a Reset", got)
		}
		_, _ = peer.Write([]byte{0x4f, 1, 0x99, 2}) // a token of 15 bytes
		if got := peer.nextDatagram(time.Second); !bytes.Equal(got, []byte{0x70, 0, 0x99, 2}) {
			t.Errorf("a malformed message: got %x, want a Reset", got)
		}
		checkOwnRequest := func(rule string, answers func(req []byte)) {
			t.Helper()
			asked := make(chan error, 1)
			go func() {
				got, err := postEcho(c, "x", 3*time.Second)
				if err == nil && got != "yes" {
					err = fmt.Errorf("got %q", got)
				}
				asked <- err
			}()
			answers(peer.nextDatagram(time.Second))
			if err := <-asked; err != nil {
				t.Errorf("our own request, %s: %v", rule, err)
			}
		}
		checkOwnRequest("answered at once", func(req []byte) {
			_, _ = peer.Write(encodeMessage(t, coap.Acknowledgement, codes.Content,
				uint16(req[2])<<8|uint16(req[3]), req[4:8], "", "yes"))
		})
		checkOwnRequest("answered by a separate response", func(req []byte) {
			_, _ = peer.Write([]byte{0x60, 0, req[2], req[3]})
			_, _ = peer.Write(encodeMessage(t, coap.Confirmable, codes.Content, 0x9903, req[4:8], "", "yes"))
			if got := peer.nextDatagram(time.Second); !bytes.Equal(got, []byte{0x60, 0, 0x99, 3}) {
				t.Errorf("a confirmable answer: got %x, want an empty ACK", got)
			}
		})

		close(release)
		for range message.MaxInFlight {
			if got := peer.nextDatagram(time.Second); !bytes.HasSuffix(got, []byte("\xffwait")) {
				t.Errorf("got %x, want the answer to a waiting request", got)
			}
		}
		_, _ = peer.Write(makeCON(t, 100, "t", "more"))
		if got := peer.nextDatagram(time.Second); !bytes.HasSuffix(got, []byte("\xffmore")) {
			t.Errorf("the repetition of a dropped request: got %x, want its answer", got)
		}
	})
}

// A session whose handlers all wait does not affect other sessions, and its own node may open a new
// session or leave.
func TestBlockedSessionStopsNoOther(t *testing.T) {
	var calls atomic.Int32
	release := make(chan struct{})
	s := startSite(t, Config{}, newBlockingHandler(&calls, release))
	open := sync.OnceFunc(func() { close(release) })
	t.Cleanup(open)
	dc, err := s.dialDTLS(t, dtls.WithCipherSuites(suites[0]))
	if err != nil {
		t.Fatal(err)
	}
	blocked := receiveFrom(t, s.opened)
	for mid := range uint16(500) {
		if _, err := dc.Write(makeCON(t, mid, "t", "wait")); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the most handlers that may wait do so",
		func() bool { return calls.Load() == message.MaxInFlight })
	other, err := s.tryDial(t, s.Addr().String(), another, s.secret, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]*Conn{"another node": other,
		"a new session of the same node": s.dialKnown(t, nil)} {
		for i := range 200 {
			if got, err := postEcho(c, "x", 5*time.Second); err != nil || got != "x" {
				t.Fatalf("%s, request %d: got %q, %v", name, i, got, err)
			}
		}
	}
	_ = dc.Close()
	if got := receiveFrom(t, s.closed); got != blocked || s.Sessions() != 2 {
		t.Errorf("after its node has left: got the end of %v and %d sessions, want that of the blocked session, and 2",
			got.RemoteAddr(), s.Sessions())
	}
	select {
	case <-blocked.Done():
		t.Error("the session is done while its handlers still run")
	default:
	}
	if got := calls.Load(); got != message.MaxInFlight+400 {
		t.Errorf("got %d handlers, want %d that waited and 400 that did not", got, message.MaxInFlight)
	}
	open()
	receiveFrom(t, blocked.Done())
}
