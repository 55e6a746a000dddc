package message_test

import (
	"context"
	"encoding/hex"
	"strings"
	"testing"

	coap "github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/message/pool"
	"github.com/plgd-dev/go-coap/v3/udp/coder"

	"latchkey/coapres/transport/message"
	"latchkey/coapres/transport/message/messagetest"
)

// go-coap's coder must accept every message that Check passes. One that it refuses would be lost.
func FuzzCheck(f *testing.F) {
	for _, r := range messagetest.All() {
		b, err := hex.DecodeString(strings.Join(strings.Fields(r.In), ""))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) > message.MaxSize {
			return // Read never returns it
		}
		v, reply := message.Check(in)
		switch v {
		case message.Drop:
			if reply != nil {
				t.Errorf("dropped, but answered with %x", reply)
			}
		case message.Answer:
			if got, more := message.Check(reply); got != message.Pass || more != nil {
				t.Errorf("Check does not pass its own answer %x", reply)
			}
			if in[0]>>4&3 != message.CON || reply[2] != in[2] || reply[3] != in[3] {
				t.Errorf("%x is no answer to %x", reply, in)
			}
		case message.Pass:
			m := pool.NewMessage(context.Background())
			if _, err := m.UnmarshalWithDecoder(coder.DefaultCoder, in); err != nil {
				t.Errorf("the coder refuses it: %v", err)
			}
			if m.Code() == codes.Empty && (m.Type() == coap.Confirmable || m.Type() == coap.NonConfirmable) {
				t.Error("an empty message passed")
			}
		}
	})
}

// Check passes every message that go-coap builds from valid values.
func FuzzBuilt(f *testing.F) {
	f.Add(uint8(0), uint8(2), uint16(7), []byte{1}, "scan", "lt=90", []byte("12345678"), uint16(60),
		[]byte("body"))
	f.Add(uint8(2), uint8(0x44), uint16(0), []byte{}, "", "", []byte{}, uint16(0), []byte{})
	f.Fuzz(func(t *testing.T, typ, code uint8, mid uint16, token []byte, path, query string, echo []byte,
		format uint16, body []byte) {
		typ &= 3
		class := code >> 5
		request := class == 0
		switch {
		case code == 0, class == 1, class > 5, typ == message.RST, typ == message.ACK &&
			request, len(token) > message.MaxToken, len(query) > 255:
			return // there is no such message
		}
		m := pool.NewMessage(context.Background())
		m.SetType(coap.Type(typ))
		m.SetCode(codes.Code(code))
		m.SetMessageID(int32(mid))
		m.SetToken(token)
		if request {
			if m.SetPath(path) != nil {
				return
			}
			m.AddQuery(query)
			m.SetAccept(coap.MediaType(format))
		}
		m.SetOptionBytes(252, echo)
		m.SetContentFormat(coap.MediaType(format))
		if len(body) > 0 {
			m.SetBody(strings.NewReader(string(body)))
		}
		b, err := m.MarshalWithEncoder(coder.DefaultCoder)
		if err != nil {
			return
		}
		if v, _ := message.Check(b); v != message.Pass {
			t.Errorf("got %d for %x, want it to pass", v, b)
		}
	})
}
