package transport

import (
	"bytes"
	"testing"
	"time"

	"latchkey/coapres/transport/record"
)

// The answers to a hello carry its record's number (RFC 6347 §4.2.1): a client that had to repeat
// its first would take others for old.
func TestAnswersHaveTheNumberOfTheirHello(t *testing.T) {
	s := listen(t, Config{Handshake: time.Second}, echo)
	node, c := newRaw(t, "127.0.0.1", s.Addr(), nil), newRaw(t, "127.0.0.1", s.Addr(), nil)
	if err := node.hello(); err != nil {
		t.Fatal(err)
	}
	b := bytes.Clone(node.sent[0])
	for _, want := range []struct {
		typ    byte
		number uint64
	}{{record.HelloVerifyRequest, 5}, {record.ServerHello, 6}} {
		b[10] = byte(want.number)
		c.send(b)
		var answer []byte
		if err := c.hear(5*time.Second, func(r []byte) bool { answer = bytes.Clone(r); return true }); err != nil {
			t.Fatal(err)
		}
		if got := number(answer); answer[record.HeaderSize] != want.typ || got != want.number {
			t.Errorf("got message %d in record %d, want %d in %d", answer[record.HeaderSize], got, want.typ, want.number)
		}
		if want.typ == record.HelloVerifyRequest {
			b = withCookie(b, answer)
		}
	}
}
