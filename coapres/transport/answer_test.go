package transport

import (
	"bytes"
	"testing"
	"time"

	"latchkey/coapres/transport/record"
)

// The answers to a hello have its record's number (RFC 6347 §4.2.1). A client that retransmitted
// its hello would drop an answer with a lower number as old.
func TestAnswersHaveTheNumberOfTheirHello(t *testing.T) {
	s := startSite(t, Config{Handshake: time.Second}, answerEcho)
	node, c := newRawClient(t, "127.0.0.1", s.Addr(), nil), newRawClient(t, "127.0.0.1", s.Addr(), nil)
	if err := node.sayHello(); err != nil {
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
		if err := c.receiveUntil(5*time.Second,
			func(r []byte) bool { answer = bytes.Clone(r); return true }); err != nil {
			t.Fatal(err)
		}
		if got := recordNumber(answer); answer[record.HeaderSize] != want.typ || got != want.number {
			t.Errorf("got message %d in record %d, want %d in %d", answer[record.HeaderSize], got, want.typ,
				want.number)
		}
		if want.typ == record.HelloVerifyRequest {
			b = addCookie(b, answer)
		}
	}
}
