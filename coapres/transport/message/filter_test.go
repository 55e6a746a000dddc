package message_test

import (
	"bytes"
	"testing"

	coap "github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"

	"latchkey/coapres/transport/message"
	"latchkey/coapres/transport/message/messagetest"
)

func TestCheck(t *testing.T) {
	for _, r := range messagetest.All() {
		t.Run(r.Name, func(t *testing.T) {
			in := decodeHex(t, r.In)
			got, reply := message.Check(in)
			if got != r.Want {
				t.Fatalf("got %d, want %d", got, r.Want)
			}
			want := decodeHex(t, r.Reply)
			// The refusal also has a payload, see TestRefusalNamesTheOption.
			if len(want) > 1 && want[1]>>5 >= 4 {
				reply = reply[:min(len(reply), len(want))]
			}
			if !bytes.Equal(reply, want) {
				t.Errorf("got reply %x, want %x", reply, want)
			}
		})
	}
}

func TestCheckDoesNotAllocate(t *testing.T) {
	m := buildMessage(t, coap.Confirmable, codes.POST, 1, []byte{1, 2, 3, 4}, "scan", "body")
	if got := testing.AllocsPerRun(100, func() { message.Check(m) }); got != 0 {
		t.Errorf("got %v allocations for a well-formed message, want none", got)
	}
}

// A refusal names the option that caused it (RFC 7252 §5.5.2).
func TestRefusalNamesTheOption(t *testing.T) {
	for in, want := range map[string]string{
		"44 01 1234 01020304 90":               "option 9",
		"40 01 1234 d1 0a 06":                  "option 23",
		"40 01 1234 e0 fdea":                   "option 65271",
		"44 01 1234 01020304 b1 61 e0 fde9":    "option 65281",
		"44 01 1234 01020304 d1 16 61":         "option 35",
		"40 01 1234 72 1634 02 1634":           "option 7",
		"40 01 1234 10 d1 15 61":               "option 1",
		"48 01 1234 ffffffffffffffff 90 ff 61": "option 9",
	} {
		b := decodeHex(t, in)
		v, reply := message.Check(b)
		if v != message.Answer || message.ReadRefusal(reply) != want {
			t.Errorf("%s: got %d %x, want a refusal that says %q", in, v, reply, want)
		}
		if v, _ := message.Check(reply); v != message.Pass {
			t.Errorf("%s: the refusal %x is not well-formed", in, reply)
		}
	}
	if got := message.ReadRefusal(message.MakeReset([]byte{0x40, 1, 2, 3})) +
		message.ReadRefusal(nil); got != "" {
		t.Errorf("messages that are no refusal: got %q, want nothing", got)
	}
}
