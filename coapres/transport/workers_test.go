package transport

import (
	"sync/atomic"
	"testing"
	"time"
)

// When every worker waits, a request is lost as a datagram is, and counted. Its repetition is
// answered once a worker is free. Other messages are handled as usual.
func TestNoFreeWorker(t *testing.T) {
	var calls atomic.Int32
	release := make(chan struct{})
	s := startSite(t, Config{handled: 2}, newBlockingHandler(&calls, release))
	answers := make(chan error, 3)
	post := func(c *Conn, body string) {
		go func() {
			_, err := postEcho(c, body, patienceOfTests)
			answers <- err
		}()
	}
	post(s.dialKnown(t, nil), "wait")
	post(s.dialKnown(t, nil), "wait")
	eventually(t, "both requests are being handled", func() bool { return calls.Load() == 2 })
	before := s.Stats().Overflow
	third := s.dialKnown(t, nil)
	post(third, "short")
	eventually(t, "the third one is lost", func() bool { return s.Stats().Overflow > before })
	if err := third.Ping(t.Context()); err != nil {
		t.Errorf("a ping meanwhile: %v", err)
	}
	close(release)
	for range 3 {
		if err := receiveFrom(t, answers); err != nil {
			t.Error(err)
		}
	}
	if got := calls.Load(); got != 3 {
		t.Errorf("got %d requests handled, want each of the 3 once", got)
	}
}

// While a handler of one session waits, another session is answered, and ends.
func TestSessionEndsBesideAHandlerThatWaits(t *testing.T) {
	var calls atomic.Int32
	release := make(chan struct{})
	s := startSite(t, Config{}, newBlockingHandler(&calls, release))
	slow, other := s.dialKnown(t, nil), s.dialKnown(t, nil)
	go func() { _, _ = postEcho(slow, "wait", time.Second) }()
	eventually(t, "the request is being handled", func() bool { return calls.Load() == 1 })
	for range 2 { // both go on
		if _, err := postEcho(other, "short", patienceOfTests); err != nil {
			t.Error(err)
		}
	}
	_ = other.Close()
	ended := receiveFrom(t, s.closed)
	select {
	case <-ended.Done():
	case <-time.After(patienceOfTests):
		t.Error("a session does not end while a handler of another one waits")
	}
	close(release)
}
