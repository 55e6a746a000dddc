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

// blocking answers as echo does, but what is asked of it with the body "wait" only when release is
// closed.
func blocking(calls *atomic.Int32, release <-chan struct{}) Handler {
	return func(c *Conn, req, resp *pool.Message, at time.Time) {
		calls.Add(1)
		if b, _ := req.ReadBody(); string(b) == "wait" {
			<-release
		}
		echo(c, req, resp, at)
	}
}

// A session whose handlers all wait takes no more requests, and they cost nothing; whatever else
// comes is served as ever.
func TestAllHandlersWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		release := make(chan struct{})
		c, peer := memLink(t, blocking(&calls, release))
		for mid := range uint16(message.MaxInFlight) {
			_, _ = peer.Write(con(t, mid, "t", "wait"))
		}
		synctest.Wait()
		goroutines := runtime.NumGoroutine()
		for i := range 10_000 {
			_, _ = peer.Write(con(t, uint16(100+i), "t", "more"))
			_, _ = peer.Write(non(t, uint16(30_000+i), "u", "more"))
			_, _ = peer.Write(con(t, uint16(i%message.MaxInFlight), "t", "wait")) // a repeat of one that waits
		}
		synctest.Wait()
		if got := peer.next(time.Second); got != nil {
			t.Errorf("got %x for requests beyond the bound, want silence", got)
		}
		if got := calls.Load(); got != message.MaxInFlight {
			t.Errorf("got %d handlers, want %d", got, message.MaxInFlight)
		}
		c.mu.Lock()
		remembered := c.in.Count()
		c.mu.Unlock()
		if remembered != message.MaxInFlight {
			t.Errorf("got %d requests remembered, want those that wait", remembered)
		}
		if got := runtime.NumGoroutine(); got > goroutines {
			t.Errorf("got %d goroutines, want no more than the %d before", got, goroutines)
		}

		_, _ = peer.Write([]byte{0x40, 0, 0x99, 1})
		if got := peer.next(time.Second); !bytes.Equal(got, []byte{0x70, 0, 0x99, 1}) {
			t.Errorf("a ping: got %x, want a Reset", got)
		}
		_, _ = peer.Write([]byte{0x4f, 1, 0x99, 2}) // a token of 15 bytes
		if got := peer.next(time.Second); !bytes.Equal(got, []byte{0x70, 0, 0x99, 2}) {
			t.Errorf("a malformed message: got %x, want a Reset", got)
		}
		answered := func(rule string, answers func(req []byte)) {
			t.Helper()
			asked := make(chan error, 1)
			go func() {
				got, err := post(c, "x", 3*time.Second)
				if err == nil && got != "yes" {
					err = fmt.Errorf("got %q", got)
				}
				asked <- err
			}()
			answers(peer.next(time.Second))
			if err := <-asked; err != nil {
				t.Errorf("our own request, %s: %v", rule, err)
			}
		}
		answered("answered at once", func(req []byte) {
			_, _ = peer.Write(encoded(t, coap.Acknowledgement, codes.Content, uint16(req[2])<<8|uint16(req[3]), req[4:8], "", "yes"))
		})
		answered("answered apart from the ACK", func(req []byte) {
			_, _ = peer.Write([]byte{0x60, 0, req[2], req[3]})
			_, _ = peer.Write(encoded(t, coap.Confirmable, codes.Content, 0x9903, req[4:8], "", "yes"))
			if got := peer.next(time.Second); !bytes.Equal(got, []byte{0x60, 0, 0x99, 3}) {
				t.Errorf("a confirmable answer: got %x, want an empty ACK", got)
			}
		})

		close(release)
		for range message.MaxInFlight {
			if got := peer.next(time.Second); !bytes.HasSuffix(got, []byte("\xffwait")) {
				t.Errorf("got %x, want the answer to one that waited", got)
			}
		}
		_, _ = peer.Write(con(t, 100, "t", "more"))
		if got := peer.next(time.Second); !bytes.HasSuffix(got, []byte("\xffmore")) {
			t.Errorf("a dropped request that comes again: got %x, want its answer", got)
		}
	})
}

// Other sessions do not notice one whose handlers all wait, and its own node may begin anew, or
// leave.
func TestBlockedSessionStopsNoOther(t *testing.T) {
	var calls atomic.Int32
	release := make(chan struct{})
	s := listen(t, Config{}, blocking(&calls, release))
	open := sync.OnceFunc(func() { close(release) })
	t.Cleanup(open)
	dc, err := s.raw(t, dtls.WithCipherSuites(suites[0]))
	if err != nil {
		t.Fatal(err)
	}
	blocked := within(t, s.opened)
	for mid := range uint16(500) {
		if _, err := dc.Write(con(t, mid, "t", "wait")); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "as many handlers wait as may be", func() bool { return calls.Load() == message.MaxInFlight })
	other, err := s.try(t, s.Addr().String(), another, s.secret, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]*Conn{"another node": other, "the same node anew": s.dial(t, nil)} {
		for i := range 200 {
			if got, err := post(c, "x", 5*time.Second); err != nil || got != "x" {
				t.Fatalf("%s, request %d: got %q, %v", name, i, got, err)
			}
		}
	}
	_ = dc.Close()
	if got := within(t, s.closed); got != blocked || s.Sessions() != 2 {
		t.Errorf("its node has left: got the end of %v and %d sessions, want 2", got.RemoteAddr(), s.Sessions())
	}
	select {
	case <-blocked.Done():
		t.Error("done while its handlers are at work")
	default:
	}
	if got := calls.Load(); got != message.MaxInFlight+400 {
		t.Errorf("got %d handlers, want %d that waited and 400 that did not", got, message.MaxInFlight)
	}
	open()
	within(t, blocked.Done())
}
