package message_test

import (
	"testing"

	coap "github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/udp/coder"

	"latchkey/coapres/transport/message"
	"latchkey/coapres/transport/message/messagetest"
)

// buildMessage encodes a message with go-coap's coder.
func buildMessage(t testing.TB, typ coap.Type, code codes.Code, mid uint16, token []byte, path,
	body string) []byte {
	t.Helper()
	m := coap.Message{Type: typ, Code: code, MessageID: int32(mid), Token: token, Payload: []byte(body)}
	if path != "" {
		m.Options = coap.Options{{ID: coap.URIPath, Value: []byte(path)}}
	}
	b := make([]byte, message.MaxSize)
	n, err := coder.DefaultCoder.Encode(m, b)
	if err != nil {
		t.Fatal(err)
	}
	return b[:n]
}

// decodeHex returns the bytes of a text in hex.
func decodeHex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := messagetest.Decode(text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return b
}
