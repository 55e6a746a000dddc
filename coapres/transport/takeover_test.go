package transport

import (
	"bytes"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/pion/dtls/v3/pkg/protocol"
	"github.com/pion/dtls/v3/pkg/protocol/alert"

	"latchkey/coapres/transport/record"
)

// orders returns all orders of n things.
func orders(n int) (all [][]int) {
	if n == 0 {
		return [][]int{nil}
	}
	for _, o := range orders(n - 1) {
		for at := range n {
			all = append(all, slices.Insert(slices.Clone(o), at, n-1))
		}
	}
	return all
}

// A node may send requests right behind its Finished, and the network may change their order.
// Whatever comes before we have taken the session over from pion is handled then, once, and without
// a repetition. No number of ours is used for two records.
func TestRequestsBesideTheFinished(t *testing.T) {
	s := startSite(t, Config{HandshakeRate: 10_000}, answerEcho)
	all := 0
	for range 4 {
		for _, suite := range suites {
			for _, cid := range []bool{false, true} {
				for i, order := range orders(4) {
					for _, together := range []bool{false, true} {
						all++
						c := newRawClient(t, "127.0.0.1", s.Addr(), s.secret.PSK())
						c.suite, c.asksCID = suite, cid
						answers, err := c.finishAmongRequests(t, order, together)
						if err != nil || !slices.Equal(answers, []int{1, 1, 1}) {
							t.Errorf("%v, cid %v, order %d, together %v: got %v answers, %v, want one to each request",
								suite, cid, i, together, answers, err)
						}
						_ = c.doStep(stepClose)
						receiveFrom(t, s.opened)
						receiveFrom(t, s.closed)
						_ = c.conn.Close()
					}
				}
			}
		}
	}
	t.Logf("%d sessions with three requests each", all)
}

// finishAmongRequests opens a session. The Finished, number 0 of order, and three requests leave in
// that order, each in a datagram or together in one. It returns the number of answers to each request.
func (c *rawClient) finishAmongRequests(t *testing.T, order []int, together bool) ([]int, error) {
	t.Helper()
	if err := c.sayHello(); err != nil {
		return nil, err
	}
	_, _ = c.doStep(stepKeyExchange), c.doStep(stepChangeCipher)
	records := [][]byte{c.encryptRecord(protocol.ContentTypeHandshake, c.makeFinished())}
	for mid := range uint16(3) {
		records = append(records, c.encryptRecord(protocol.ContentTypeApplicationData, makeGET(mid)))
	}
	var all []byte
	for _, k := range order {
		if all = append(all, records[k]...); !together {
			c.send(records[k])
		}
	}
	if together {
		c.send(all)
	}
	answers, numbers := make([]int, 3), map[uint64][]byte{}
	return answers, c.receiveUntil(patienceOfTests, func(r []byte) bool {
		if r[4] == 1 {
			if was := numbers[recordNumber(r)]; was != nil && !bytes.Equal(was, r) {
				t.Errorf("number %d has two records", recordNumber(r))
			}
			numbers[recordNumber(r)] = bytes.Clone(r)
		}
		for mid := range answers {
			if c.isAnswer(r, uint16(mid)) {
				answers[mid]++
			}
		}
		return !slices.Contains(answers, 0)
	})
}

// A node that has not received our last flight repeats its own. It gets ours again, the same bytes,
// but rarely, and no more once it has sent data: then it had the flight.
func TestRepeatedFinishedGetsTheSameFlight(t *testing.T) {
	s := startSite(t, Config{}, answerEcho)
	for _, cid := range []bool{false, true} {
		c, _ := s.openRawSession(t, "127.0.0.1", cid)
		a := s.findOnlyAssociation(t)
		a.mu.Lock()
		flight := bytes.Clone(a.last)
		a.mu.Unlock()
		buf := make([]byte, maxDatagram)
		began := time.Now()
		for range 10 {
			c.sendEncrypted(protocol.ContentTypeHandshake, c.makeFinished())
		}
		_ = c.conn.SetReadDeadline(time.Now().Add(patienceOfTests))
		n, err := c.conn.Read(buf)
		if err != nil || !bytes.Equal(buf[:n], flight) {
			t.Fatalf("cid %v: got %x, %v, want the flight %x", cid, buf[:n], err, flight)
		}
		if err := c.requestOnce(); err != nil { // all the repetitions were read before
			t.Fatal(err)
		}
		if time.Since(began) < flightInterval/2 && c.countBytes(10*time.Millisecond) > 0 {
			t.Errorf("cid %v: the flight was sent more than once", cid)
		}
		c.sendEncrypted(protocol.ContentTypeHandshake, c.makeFinished())
		_ = c.doStep(stepData)
		_ = c.conn.SetReadDeadline(time.Now().Add(patienceOfTests))
		if n, err = c.conn.Read(buf); err != nil || !c.isAnswer(buf[:n], c.mid) {
			t.Errorf("cid %v: after data: got %x, %v, want only the answer", cid, buf[:n], err)
		}
		_ = c.doStep(stepClose)
		receiveFrom(t, s.closed)
	}
}

// alerts reads records until the answer to the request mid, and returns the alerts before it.
func (c *rawClient) alerts(t *testing.T, mid uint16) (got []string) {
	t.Helper()
	err := c.receiveUntil(patienceOfTests, func(r []byte) bool {
		if b, ok := c.decryptRecord(r, record.Alert); ok {
			got = append(got, string(b))
		}
		return c.isAnswer(r, mid)
	})
	if err != nil {
		t.Error(err)
	}
	return got
}

// A hello within a session is refused, at most once a second, and the session goes on.
func TestRenegotiationIsRefused(t *testing.T) {
	s := startSite(t, Config{}, answerEcho)
	c, _ := s.openRawSession(t, "127.0.0.1", false)
	began := time.Now()
	for range 20 {
		c.sendEncrypted(protocol.ContentTypeHandshake, makeHello(0, nil)[record.HeaderSize:])
	}
	_ = c.doStep(stepData)
	got := c.alerts(t, c.mid)
	if len(got) == 0 || got[0] != "\x01\x64" || len(got) > 1+int(time.Since(began)/time.Second) {
		t.Errorf("got alerts %x, want one no_renegotiation a second", got)
	}
}

// A warning changes nothing, a close_notify is answered by ours, and a fatal alert by silence.
func TestAlertsOfTheNode(t *testing.T) {
	s := startSite(t, Config{}, answerEcho)
	for _, tc := range []struct {
		name  string
		level alert.Level
		what  alert.Description
		ends  bool
		want  string
	}{
		{"a warning", alert.Warning, alert.UserCanceled, false, ""},
		{"a close_notify", alert.Warning, alert.CloseNotify, true, "\x01\x00"},
		{"a fatal alert", alert.Fatal, alert.InternalError, true, ""},
	} {
		c, g := s.openRawSession(t, "127.0.0.1", false)
		c.sendAlert(tc.level, tc.what)
		_ = c.doStep(stepData)
		if !tc.ends {
			if got := c.alerts(t, c.mid); len(got) > 0 || g.Context().Err() != nil {
				t.Errorf("%s: got alerts %x, and the session has ended: %v", tc.name, got, g.Context().Err())
			}
			_ = g.End()
		}
		receiveFrom(t, s.closed)
		receiveFrom(t, g.Done())
		got := ""
		_ = c.receiveUntil(50*time.Millisecond, func(r []byte) bool {
			if b, ok := c.decryptRecord(r, record.Alert); ok {
				got += string(b)
			}
			return c.isAnswer(r, c.mid)
		})
		if tc.ends && got != tc.want {
			t.Errorf("%s: got %x, want %x", tc.name, got, tc.want)
		}
	}
}

// An idle session has no goroutine. The listener has a few workers that wait.
func TestIdleSessionsHaveNoGoroutine(t *testing.T) {
	s := startSite(t, Config{HandshakeRate: 10_000}, answerEcho)
	s.openRawSession(t, "127.0.0.1", false)
	before := runtime.NumGoroutine() // the listener's, and at most those of one handshake
	for i := range 50 {
		c, _ := s.openRawSession(t, "127.0.0.1", i%2 == 0)
		if err := c.requestOnce(); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the goroutines of 50 handshakes have ended",
		func() bool { return runtime.NumGoroutine() <= before+keptWorkers })
}
