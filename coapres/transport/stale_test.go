package transport

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/message/pool"

	"latchkey/coapres/transport/message"
)

// question is a confirmable request and its answer.
type question struct {
	mid    uint16
	token  []byte
	body   string
	answer []byte
}

// askAll sends questions with different message IDs at once and checks the answer to each. An
// answer is the number of the handler's call, and then the request.
func askAll(t *testing.T, dc *dtls.Conn, qs []*question) {
	t.Helper()
	open := map[uint16]*question{}
	for _, q := range qs {
		open[q.mid] = q
		if _, err := dc.Write(makeCON(t, q.mid, string(q.token), q.body)); err != nil {
			t.Fatal(err)
		}
	}
	_ = dc.SetReadDeadline(time.Now().Add(10 * time.Second))
	for buf := make([]byte, message.MaxSize); len(open) > 0; {
		n, err := dc.Read(buf)
		if err != nil {
			t.Fatalf("%d of %d requests were not answered: %v", len(open), len(qs), err)
		}
		if n < 4 || open[binary.BigEndian.Uint16(buf[2:])] == nil {
			t.Fatalf("got %x, which answers no open request", buf[:n])
		}
		q := open[binary.BigEndian.Uint16(buf[2:])]
		delete(open, q.mid)
		q.answer = bytes.Clone(buf[:n])
		head := append([]byte{0x60 | byte(len(q.token)), byte(codes.Content), byte(q.mid >> 8), byte(q.mid)},
			q.token...)
		text, ok := bytes.CutPrefix(q.answer, append(head, message.PayloadMarker))
		if _, what, _ := strings.Cut(string(text), " "); !ok ||
			what != fmt.Sprintf("%d %x %s", q.mid, q.token, q.body) {
			t.Fatalf("ID %d, token %x, body %s: got %x %q, want the answer to this request", q.mid, q.token,
				q.body, q.answer, text)
		}
	}
}

// checkManyRequests makes more than n requests on one session, as many at once as are allowed.
// There are ids different message IDs. Half of the requests are variants of earlier ones:
// unchanged, with another body, another token or another ID.
func checkManyRequests(t *testing.T, n, ids uint32) {
	var calls atomic.Uint32
	s := startSite(t, Config{}, func(_ *Conn, req, resp *pool.Message, _ time.Time) {
		b, _ := req.ReadBody()
		resp.SetCode(codes.Content)
		resp.SetBody(strings.NewReader(fmt.Sprintf("%d %d %x %s", calls.Add(1), req.MessageID(),
			[]byte(req.Token()), b)))
	})
	dc, err := s.dialDTLS(t, dtls.WithCipherSuites(suites[0]))
	if err != nil {
		t.Fatal(err)
	}
	receiveFrom(t, s.opened)
	var i, handled uint32
	next := func() *question { // tokens of 1 to 8 bytes; the short ones are used again too
		i++
		token := binary.BigEndian.AppendUint64(nil, uint64(i))
		return &question{mid: uint16(i % ids), token: token[7-i%8:], body: fmt.Sprint(i)}
	}
	for i < n {
		var first, second, repeats []*question
		for range message.MaxInFlight {
			first = append(first, next())
		}
		askAll(t, dc, first)
		// In reverse order, so that most other requests come between the first one and its
		// repetition.
		for j, q := range slices.Backward(first) {
			again := *q
			switch j % 4 {
			case 0:
				repeats = append(repeats, &again)
			case 1:
				again.body += " other"
			case 2:
				again.token = append(bytes.Clone(q.token[1:]), 0xee)
			case 3:
				again.mid = next().mid
			}
			second = append(second, &again)
		}
		askAll(t, dc, second)
		for j, q := range repeats {
			if want := first[4-4*j].answer; !bytes.Equal(q.answer, want) {
				t.Fatalf("a repetition got %q, want the same bytes %q", q.answer, want)
			}
		}
		handled += uint32(len(first) + len(second) - len(repeats))
	}
	if got := calls.Load(); got != handled {
		t.Errorf("the handler was called %d times, want once for each of %d requests", got, handled)
	}
}

// Message IDs are used again after 64 requests here. A cache keyed by message ID alone would return
// old answers.
func TestManyRequestsOnOneSession(t *testing.T) { checkManyRequests(t, 5000, 64) }
