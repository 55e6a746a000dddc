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

// layer is an exchange that passes its messages to a channel, with the other end of its connection.
type layer struct {
	*exchange
	passed chan []byte
	peer   *memConn
}

func newLayer(t *testing.T) *layer {
	a, b := newMemPair()
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

// passesRequest sends m to the exchange and tells whether the exchange passed it on to CoAP.
func (l *layer) passesRequest(m []byte) bool {
	_, _ = l.peer.Write(m)
	synctest.Wait()
	select {
	case <-l.passed:
		return true
	default:
		return false
	}
}

func (l *layer) sendMessage(t *testing.T, m []byte) {
	t.Helper()
	if _, err := l.Write(m); err != nil {
		t.Fatal(err)
	}
}

// takeSent returns the next message that the exchange has sent, or nil if there is none.
func (l *layer) takeSent() []byte {
	synctest.Wait()
	select {
	case m := <-l.peer.in:
		return m
	default:
		return nil
	}
}

// countPending returns how many messages would be retransmitted.
func (l *layer) countPending() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.out)
}

func makeCON(t *testing.T, mid uint16, token, body string) []byte {
	return encodeMessage(t, coap.Confirmable, codes.POST, mid, []byte(token), "scan", body)
}

func makeNON(t *testing.T, mid uint16, token, body string) []byte {
	return encodeMessage(t, coap.NonConfirmable, codes.POST, mid, []byte(token), "scan", body)
}

func makeACK(t *testing.T, mid uint16, token, body string) []byte {
	return encodeMessage(t, coap.Acknowledgement, codes.Changed, mid, []byte(token), "", body)
}

func TestRepeatsOfARequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLayer(t)
		first := makeCON(t, 7, "a", "one")
		if !l.passesRequest(first) {
			t.Fatal("a request was not passed on")
		}
		if l.passesRequest(first) || l.takeSent() != nil {
			t.Error("the repetition of a request in flight was passed on or answered, want it dropped")
		}
		if l.passesRequest(makeCON(t, 7, "a", "two")) || l.takeSent() != nil {
			t.Error("a request with the ID and token of one in flight was passed on or answered, want it dropped")
		}
		if !l.passesRequest(makeCON(t, 7, "b", "one")) {
			t.Error("a request with the same ID and another token was dropped, want it passed on")
		}
		one := makeACK(t, 7, "a", "answer one")
		l.sendMessage(t, one)
		l.takeSent()
		for range 3 {
			if l.passesRequest(first) {
				t.Error("a repetition was passed on")
			}
			if got := l.takeSent(); !bytes.Equal(got, one) {
				t.Errorf("a repetition got %x, want the same bytes %x", got, one)
			}
		}
		if !l.passesRequest(makeCON(t, 7, "a", "two")) {
			t.Error("a request with the same ID and token but other bytes was dropped, want it passed on")
		}
		two := makeACK(t, 7, "b", "answer two")
		l.sendMessage(t, two)
		l.takeSent()
		if l.passesRequest(makeCON(t, 7, "b", "one")) || !bytes.Equal(l.takeSent(), two) {
			t.Error("the repetition of the second request did not get the second answer")
		}
	})
}

func TestAnswersFindTheirRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLayer(t)
		l.passesRequest(makeNON(t, 1, "x", ""))
		l.passesRequest(makeCON(t, 2, "x", ""))
		l.sendMessage(t, encodeMessage(t, coap.NonConfirmable, codes.Changed, 900, []byte("x"), "",
			"for the first"))
		l.sendMessage(t, makeACK(t, 2, "x", "for the second"))
		l.takeSent()
		l.takeSent()
		if l.passesRequest(makeCON(t, 2, "x", "")); !bytes.Equal(l.takeSent(),
			makeACK(t, 2, "x", "for the second")) {
			t.Error("a repetition got the answer to a non-confirmable request with the same token")
		}
		if l.passesRequest(makeNON(t, 1, "x", "")) || l.takeSent() != nil {
			t.Error("the repetition of a non-confirmable request was passed on or answered, want it dropped")
		}
		l.passesRequest(makeCON(t, 3, "", ""))
		l.sendMessage(t, []byte{0x60, 0, 0, 3}) // an empty ACK, for a response of the peer's own
		l.takeSent()
		if l.passesRequest(makeCON(t, 3, "", "")) || l.takeSent() != nil {
			t.Error("an empty ACK was taken for the answer to a request")
		}
	})
}

func TestRepeatAfterTheExchangeLifetimeIsNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLayer(t)
		m := makeCON(t, 7, "a", "")
		l.passesRequest(m)
		l.sendMessage(t, makeACK(t, 7, "a", ""))
		l.takeSent()
		time.Sleep(message.ExchangeLife)
		if l.passesRequest(m) || l.takeSent() == nil {
			t.Error("after 247 s a repetition was passed on or not answered, want the stored answer")
		}
		time.Sleep(time.Millisecond)
		if !l.passesRequest(m) {
			t.Error("after more than 247 s the same message was dropped, want it passed on as a new request")
		}
	})
}

func TestInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLayer(t)
		for mid := range uint16(message.MaxInFlight) {
			if !l.passesRequest(makeCON(t, mid, "t", "")) {
				t.Fatalf("request %d of %d was dropped", mid+1, message.MaxInFlight)
			}
		}
		if l.passesRequest(makeCON(t, 100, "t", "")) || l.takeSent() != nil {
			t.Error("a request above the limit was passed on or answered, want it dropped")
		}
		if !l.passesRequest(makeACK(t, 5000, "ours", "")) {
			t.Error("an answer to our request was not passed on while requests are in flight")
		}
		l.sendMessage(t, makeACK(t, 3, "t", ""))
		l.takeSent()
		if !l.passesRequest(makeCON(t, 100, "t", "")) {
			t.Error("after one answer the next request was not passed on")
		}
	})
}

// A long session uses each message ID many times.
func TestNoStaleAnswers(t *testing.T) {
	x := newExchange(nil, time.Hour)
	at := time.Now()
	for i := range uint32(200_000) {
		token := binary.BigEndian.AppendUint32(nil, i)
		m := append([]byte{0x44, 2, byte(i >> 8), byte(i)}, token...)
		if v, _ := x.handleMessage(m, at); v != message.Pass {
			t.Fatalf("request %d: got %d, want it to pass", i, v)
		}
		got, ok := x.findArrival(uint16(i), token)
		if !ok || !got.Equal(at) {
			t.Fatalf("request %d: got the arrival %v, %v, want %v", i, got, ok, at)
		}
		a := append([]byte{0x64, 0x44, byte(i >> 8), byte(i)}, token...)
		x.trackSent(a)
		if v, reply := x.handleMessage(m, at); v != message.Answer || !bytes.Equal(reply, a) {
			t.Fatalf("repetition of request %d: got %d %x, want its own answer %x", i, v, reply, a)
		}
		at = at.Add(time.Millisecond)
	}
	if x.in.Count() > message.KeepAnswered {
		t.Errorf("got %d requests remembered, want at most %d", x.in.Count(), message.KeepAnswered)
	}
	if _, ok := x.findArrival(1, []byte{0, 0, 0, 1}); ok {
		t.Error("an answered request still has an arrival")
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
		l.passesRequest([]byte{1, 2, 3})
		if got := l.LastHeard(); !got.Equal(began.Add(time.Minute)) {
			t.Errorf("got %v, want the time of the message, even of a malformed one", got)
		}
	})
}

func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newMemPair()
		x := newExchange(a, time.Minute)
		ended := make(chan time.Time)
		go func() {
			_, err := x.Read(make([]byte, message.MaxSize))
			if !isIdleTimeout(err) {
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
