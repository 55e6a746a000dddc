package transport

import (
	"bytes"
	"encoding/binary"
	"testing"
	"testing/synctest"
	"time"

	coap "github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"

	"latchkey/coapres/transport/message"
)

// layer is an exchange whose messages go into a channel, and the other end of its connection.
type layer struct {
	*exchange
	passed chan []byte
	peer   *memConn
}

func newLayer(t *testing.T) *layer {
	a, b := memPair()
	l := &layer{exchange: newExchange(a, time.Hour), passed: make(chan []byte, 64), peer: b}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for buf := make([]byte, message.MaxSize); ; {
			n, err := l.Read(buf)
			if err != nil {
				return
			}
			l.passed <- bytes.Clone(buf[:n])
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return l
}

// gets sends m to the exchange and tells whether it got through to CoAP.
func (l *layer) gets(m []byte) bool {
	_, _ = l.peer.Write(m)
	synctest.Wait()
	select {
	case <-l.passed:
		return true
	default:
		return false
	}
}

func (l *layer) sends(t *testing.T, m []byte) {
	t.Helper()
	if _, err := l.Write(m); err != nil {
		t.Fatal(err)
	}
}

// said is what the other end hears at this moment, nil if nothing.
func (l *layer) said() []byte {
	synctest.Wait()
	select {
	case m := <-l.peer.in:
		return m
	default:
		return nil
	}
}

// pending is how many messages would be repeated.
func (l *layer) pending() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.out)
}

func con(t *testing.T, mid uint16, token, body string) []byte {
	return encoded(t, coap.Confirmable, codes.POST, mid, []byte(token), "scan", body)
}

func non(t *testing.T, mid uint16, token, body string) []byte {
	return encoded(t, coap.NonConfirmable, codes.POST, mid, []byte(token), "scan", body)
}

func ack(t *testing.T, mid uint16, token, body string) []byte {
	return encoded(t, coap.Acknowledgement, codes.Changed, mid, []byte(token), "", body)
}

func TestRepeatsOfARequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLayer(t)
		first := con(t, 7, "a", "one")
		if !l.gets(first) {
			t.Fatal("a request did not get through")
		}
		if l.gets(first) || l.said() != nil {
			t.Error("a repeat of a request in flight was not dropped in silence")
		}
		if l.gets(con(t, 7, "a", "two")) || l.said() != nil {
			t.Error("a request that cannot be told from one in flight was not dropped")
		}
		if !l.gets(con(t, 7, "b", "one")) {
			t.Error("the same ID with another token is another request, and was dropped")
		}
		one := ack(t, 7, "a", "answer one")
		l.sends(t, one)
		l.said()
		for range 3 {
			if l.gets(first) {
				t.Error("a repeat got through")
			}
			if got := l.said(); !bytes.Equal(got, one) {
				t.Errorf("a repeat got %x, want the same bytes %x", got, one)
			}
		}
		if !l.gets(con(t, 7, "a", "two")) {
			t.Error("the same ID and token with other bytes is another request, and was dropped")
		}
		two := ack(t, 7, "b", "answer two")
		l.sends(t, two)
		l.said()
		if l.gets(con(t, 7, "b", "one")) || !bytes.Equal(l.said(), two) {
			t.Error("a repeat of the second request did not get the second answer")
		}
	})
}

func TestAnswersFindTheirRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLayer(t)
		l.gets(non(t, 1, "x", ""))
		l.gets(con(t, 2, "x", ""))
		l.sends(t, encoded(t, coap.NonConfirmable, codes.Changed, 900, []byte("x"), "", "for the first"))
		l.sends(t, ack(t, 2, "x", "for the second"))
		l.said()
		l.said()
		if l.gets(con(t, 2, "x", "")); !bytes.Equal(l.said(), ack(t, 2, "x", "for the second")) {
			t.Error("a repeat got the answer of a non-confirmable request with the same token")
		}
		if l.gets(non(t, 1, "x", "")) || l.said() != nil {
			t.Error("a repeat of a non-confirmable request was not dropped in silence")
		}
		l.gets(con(t, 3, "", ""))
		l.sends(t, []byte{0x60, 0, 0, 3}) // an empty ACK, for a response of the peer's own
		l.said()
		if l.gets(con(t, 3, "", "")) || l.said() != nil {
			t.Error("an empty ACK was taken for the answer to a request")
		}
	})
}

func TestRepeatAfterTheExchangeLifetimeIsNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLayer(t)
		m := con(t, 7, "a", "")
		l.gets(m)
		l.sends(t, ack(t, 7, "a", ""))
		l.said()
		time.Sleep(message.ExchangeLife)
		if l.gets(m) || l.said() == nil {
			t.Error("after 247 s it is still a repeat, and was not answered")
		}
		time.Sleep(time.Millisecond)
		if !l.gets(m) {
			t.Error("after more than 247 s it is another request, and was dropped")
		}
	})
}

func TestInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLayer(t)
		for mid := range uint16(message.MaxInFlight) {
			if !l.gets(con(t, mid, "t", "")) {
				t.Fatalf("request %d of %d was dropped", mid+1, message.MaxInFlight)
			}
		}
		if l.gets(con(t, 100, "t", "")) || l.said() != nil {
			t.Error("one request too many was not dropped in silence")
		}
		if !l.gets(ack(t, 5000, "ours", "")) {
			t.Error("an answer to us was held up by requests in flight")
		}
		l.sends(t, ack(t, 3, "t", ""))
		l.said()
		if !l.gets(con(t, 100, "t", "")) {
			t.Error("when one is answered the next must get through")
		}
	})
}

// A session that lives long uses each message ID many times.
func TestNoStaleAnswers(t *testing.T) {
	x := newExchange(nil, time.Hour)
	at := time.Now()
	for i := range uint32(200_000) {
		token := binary.BigEndian.AppendUint32(nil, i)
		m := append([]byte{0x44, 2, byte(i >> 8), byte(i)}, token...)
		if v, _ := x.receive(m, at); v != message.Pass {
			t.Fatalf("request %d: got %d, want it to pass", i, v)
		}
		got, ok := x.arrival(uint16(i), token)
		if !ok || !got.Equal(at) {
			t.Fatalf("request %d: its arrival is %v, %v", i, got, ok)
		}
		a := append([]byte{0x64, 0x44, byte(i >> 8), byte(i)}, token...)
		x.sending(a)
		if v, reply := x.receive(m, at); v != message.Answer || !bytes.Equal(reply, a) {
			t.Fatalf("repeat of request %d: got %d %x, want its own answer %x", i, v, reply, a)
		}
		at = at.Add(time.Millisecond)
	}
	if x.in.Count() > message.KeepAnswered {
		t.Errorf("got %d requests remembered, want at most %d", x.in.Count(), message.KeepAnswered)
	}
	if _, ok := x.arrival(1, []byte{0, 0, 0, 1}); ok {
		t.Error("a request that was answered is still to be handled")
	}
}

func TestLastHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLayer(t)
		began := time.Now()
		if got := l.LastHeard(); !got.Equal(began) {
			t.Errorf("before any message: got %v, want the start %v", got, began)
		}
		time.Sleep(time.Minute)
		l.gets([]byte{1, 2, 3})
		if got := l.LastHeard(); !got.Equal(began.Add(time.Minute)) {
			t.Errorf("got %v, want the minute's end, whatever it was that came", got)
		}
	})
}

func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := memPair()
		x := newExchange(a, time.Minute)
		ended := make(chan time.Time)
		go func() {
			_, err := x.Read(make([]byte, message.MaxSize))
			if !idleTimeout(err) {
				t.Errorf("got %v, want a timeout", err)
			}
			ended <- time.Now()
		}()
		began := time.Now()
		time.Sleep(50 * time.Second)
		_, _ = b.Write([]byte("noise"))
		if got := (<-ended).Sub(began); got != 110*time.Second {
			t.Errorf("ended after %v, want a minute after the last message", got)
		}
	})
}
