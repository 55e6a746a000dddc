package transport

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/udp/coder"
)

// rule is one message and what becomes of it. The bytes are in hex; white space is for people.
type rule struct {
	name  string
	in    string
	want  verdict
	reply string // when answered
}

func (r rule) bytes(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatalf("%s: %v", r.name, err)
	}
	return b
}

const rst = "70 00 1234" // what a confirmable message with ID 1234 gets when it is malformed

var framing = []rule{
	{"nothing at all", "", drop, ""},
	{"shorter than a header", "40 01 12", drop, ""},
	{"version 0 is ignored, even if confirmable", "00 01 1234", drop, ""},
	{"version 2 is ignored", "80 01 1234", drop, ""},
	{"version 3 is ignored", "c0 01 1234", drop, ""},
	{"a GET of the root", "40 01 1234", pass, ""},
	{"a non-confirmable GET", "50 01 1234", pass, ""},
	{"a token of 8 bytes", "48 01 1234 0102030405060708", pass, ""},
	{"a token length of 9 is a format error", "49 01 1234 010203040506070809", answer, rst},
	{"a token length of 15 is a format error", "4f 01 1234 0102030405060708090a0b0c0d0e0f", answer, rst},
	{"a token length of 9 in a non-confirmable message is ignored", "59 01 1234 010203040506070809", drop, ""},
	{"a token longer than the message", "44 01 1234 010203", answer, rst},
	{"a token longer than the message, in an ACK", "64 45 1234 010203", drop, ""},
	{"a token and nothing else", "44 01 1234 01020304", pass, ""},

	{"an empty confirmable message is a ping: Reset", "40 00 1234", answer, rst},
	{"an empty non-confirmable message is ignored", "50 00 1234", drop, ""},
	{"an empty ACK", "60 00 1234", pass, ""},
	{"a Reset", "70 00 1234", pass, ""},
	{"an empty message with a token length", "41 00 1234", answer, rst},
	{"an empty message with a token", "41 00 1234 01", answer, rst},
	{"an empty message with bytes after it", "40 00 1234 ff", answer, rst},
	{"an empty ACK with bytes after it is ignored", "60 00 1234 00", drop, ""},
	{"an empty ACK with a token length is ignored", "61 00 1234", drop, ""},
	{"a Reset with bytes after it is ignored", "70 00 1234 00", drop, ""},
	{"a Reset with a token length is ignored", "71 00 1234 01", drop, ""},
	{"a Reset that is not empty is ignored", "70 01 1234", drop, ""},
	{"a Reset with a response is ignored", "70 45 1234", drop, ""},

	{"a request code in an ACK is ignored", "60 01 1234", drop, ""},
	{"a response in an ACK", "60 45 1234", pass, ""},
	{"a confirmable response", "40 45 1234", pass, ""},
	{"a non-confirmable response", "50 45 1234", pass, ""},
	{"reserved class 1 is a format error", "40 20 1234", answer, rst},
	{"reserved class 1, non-confirmable, is ignored", "50 3f 1234", drop, ""},
	{"class 3 is a response class", "40 60 1234", pass, ""},
	{"reserved class 6 is a format error", "40 c0 1234", answer, rst},
	{"reserved class 7 is a format error", "40 ff 1234", answer, rst},
	{"reserved class 7 in an ACK is ignored", "60 e0 1234", drop, ""},
	{"a method that nobody knows goes on, to get 4.05", "40 1f 1234", pass, ""},
}

var optionFormat = []rule{
	{"an option without value", "40 01 1234 b0", pass, ""},
	{"Uri-Path scan", "40 02 1234 b4 7363616e", pass, ""},
	{"two Uri-Path options", "40 02 1234 b1 61 01 62", pass, ""},
	{"an option longer than the message", "40 02 1234 b5 7363616e", answer, rst},
	{"an option longer than the message, non-confirmable, is ignored", "50 02 1234 b5 7363616e", drop, ""},
	{"delta 13 takes one byte: 13+1 is Max-Age", "40 01 1234 d0 01", pass, ""},
	{"delta 13 without its byte", "40 01 1234 d0", answer, rst},
	{"delta 14 takes two bytes: 269+1 is elective", "40 01 1234 e0 0001", pass, ""},
	{"delta 14 with one byte", "40 01 1234 e0 00", answer, rst},
	{"delta 14 without its bytes", "40 01 1234 e0", answer, rst},
	{"delta 15 is reserved", "40 01 1234 f0", answer, rst},
	{"delta 15 with a length is reserved", "40 01 1234 f1 00", answer, rst},
	{"length 13 takes one byte", "40 01 1234 bd 00 61616161616161616161616161", pass, ""},
	{"length 13 without its byte", "40 01 1234 bd", answer, rst},
	{"length 13 that is longer than the message", "40 01 1234 bd 01 61616161616161616161616161", answer, rst},
	{"length 14 takes two bytes", "40 01 1234 ce 0000" + strings.Repeat("61", 269), pass, ""},
	{"length 14 with one byte", "40 01 1234 be 00", answer, rst},
	{"length 14 that is longer than the message", "40 01 1234 ce 0001" + strings.Repeat("61", 269), answer, rst},
	{"length 15 is reserved", "40 01 1234 bf", answer, rst},
	{"delta 13 and length 13 together", "40 01 1234 dd 01 00 61616161616161616161616161", pass, ""},
	{"delta and length both extended by two bytes", "40 01 1234 ee 0001 0000" + strings.Repeat("61", 269), pass, ""},
	{"option 65534 is the last elective one", "40 01 1234 e0 fef1", pass, ""},
	{"option 65536 does not exist", "40 01 1234 e0 fef3", answer, rst},
	{"a sum of deltas above 65535", "40 01 1234 e0 fef1 20", answer, rst},
	{"the largest delta", "40 01 1234 e0 ffff", answer, rst},
	{"a payload", "40 02 1234 ff 61", pass, ""},
	{"a payload marker without payload", "40 02 1234 ff", answer, rst},
	{"a payload marker without payload after an option", "40 02 1234 b1 61 ff", answer, rst},
	{"a payload marker without payload, non-confirmable, is ignored", "50 02 1234 ff", drop, ""},
	{"a payload marker without payload in an ACK is ignored", "60 45 1234 ff", drop, ""},
	{"a payload that looks like broken options", "40 02 1234 ff f0 ff", pass, ""},
}

// 44 01 1234 01020304 begins a confirmable GET with a token; 64 82 and 64 a5 are its 4.02 and 5.05.
var criticalOptions = []rule{
	{"an unknown critical option: 4.02 in the ACK, with the token", "44 01 1234 01020304 90", answer, "64 82 1234 01020304"},
	{"an unknown critical option behind a known one", "44 01 1234 01020304 b1 61 e0 fde9", answer, "64 82 1234 01020304"},
	{"an unknown critical option, no token", "40 01 1234 90", answer, "60 82 1234"},
	{"an unknown critical option in a non-confirmable request is ignored", "54 01 1234 01020304 90", drop, ""},
	{"an unknown critical option in a confirmable response: Reset", "44 45 1234 01020304 90", answer, rst},
	{"an unknown critical option in a non-confirmable response is ignored", "54 45 1234 01020304 90", drop, ""},
	{"an unknown critical option in a piggybacked response is ignored", "64 45 1234 01020304 90", drop, ""},
	{"a format error behind an unknown critical option is a format error", "44 01 1234 01020304 90 f0", answer, rst},
	{"no payload behind an unknown critical option is a format error", "44 01 1234 01020304 90 ff", answer, rst},
	{"an unknown elective option is ignored", "44 01 1234 01020304 e0 fdeb", pass, ""},
	{"an elective option out of its bounds is ignored: Content-Format of 3 bytes", "40 02 1234 c3 000032", pass, ""},
	{"an elective option twice is ignored: Content-Format", "40 02 1234 c1 32 01 3c", pass, ""},
	{"Echo (252) is elective", "40 02 1234 d8 ef 0102030405060708", pass, ""},
	{"If-Match is not offered", "40 02 1234 10", answer, "60 82 1234"},
	{"If-None-Match is not offered", "40 02 1234 50", answer, "60 82 1234"},
	{"OSCORE is not offered", "40 02 1234 90", answer, "60 82 1234"},
	{"Block1 is not offered", "40 02 1234 d1 0e 06", answer, "60 82 1234"},
	{"Block1 without value is not offered either", "40 02 1234 d0 0e", answer, "60 82 1234"},
	{"Block2 is not offered", "40 01 1234 d1 0a 06", answer, "60 82 1234"},
	{"Block2 in a response", "60 45 1234 d1 0a 06", drop, ""},
	{"Proxy-Uri: 5.05", "44 01 1234 01020304 d1 16 61", answer, "64 a5 1234 01020304"},
	{"Proxy-Scheme: 5.05", "40 01 1234 d1 1a 61", answer, "60 a5 1234"},
	{"Proxy-Uri in a non-confirmable request is ignored", "50 01 1234 d1 16 61", drop, ""},
	{"the first option refused decides: If-Match before Proxy-Uri", "40 01 1234 10 d1 15 61", answer, "60 82 1234"},
	{"Uri-Host", "40 01 1234 31 61", pass, ""},
	{"Uri-Host must not be empty", "40 01 1234 30", answer, "60 82 1234"},
	{"Uri-Host of 255 bytes", "40 01 1234 3d f2" + strings.Repeat("61", 255), pass, ""},
	{"Uri-Host of 256 bytes", "40 01 1234 3d f3" + strings.Repeat("61", 256), answer, "60 82 1234"},
	{"Uri-Host twice", "40 01 1234 31 61 01 61", answer, "60 82 1234"},
	{"Uri-Port of 2 bytes", "40 01 1234 72 1634", pass, ""},
	{"Uri-Port of 3 bytes", "40 01 1234 73 001634", answer, "60 82 1234"},
	{"Uri-Port twice", "40 01 1234 72 1634 02 1634", answer, "60 82 1234"},
	{"Uri-Path of 255 bytes", "40 01 1234 bd f2" + strings.Repeat("61", 255), pass, ""},
	{"Uri-Path of 256 bytes", "40 01 1234 bd f3" + strings.Repeat("61", 256), answer, "60 82 1234"},
	{"Uri-Query of 255 bytes, three times", "40 01 1234" + " dd 02 f2" + strings.Repeat("61", 255) +
		strings.Repeat(" 0d f2"+strings.Repeat("61", 255), 2), pass, ""},
	{"Uri-Query of 256 bytes", "40 01 1234 dd 02 f3" + strings.Repeat("61", 256), answer, "60 82 1234"},
	{"Accept of 2 bytes", "40 01 1234 d2 04 003c", pass, ""},
	{"Accept of 3 bytes", "40 01 1234 d3 04 00003c", answer, "60 82 1234"},
	{"Accept twice", "40 01 1234 d1 04 3c 01 32", answer, "60 82 1234"},
	{"Accept once and another option after it", "40 01 1234 d1 04 3c 31 61", pass, ""},
}

func TestCheck(t *testing.T) {
	for _, group := range [][]rule{framing, optionFormat, criticalOptions} {
		for _, r := range group {
			t.Run(r.name, func(t *testing.T) {
				in := r.bytes(t, r.in)
				got, reply := check(in)
				if got != r.want {
					t.Fatalf("got %d, want %d", got, r.want)
				}
				want := r.bytes(t, r.reply)
				if len(want) > 1 && want[1]>>5 >= 4 { // a refusal, which names the option: see TestRefusalNamesTheOption
					reply = reply[:min(len(reply), len(want))]
				}
				if !bytes.Equal(reply, want) {
					t.Errorf("got reply %x, want %x", reply, want)
				}
			})
		}
	}
}

func TestCheckDoesNotAllocate(t *testing.T) {
	m := encoded(t, message.Confirmable, codes.POST, 1, []byte{1, 2, 3, 4}, "scan", "body")
	if got := testing.AllocsPerRun(100, func() { check(m) }); got != 0 {
		t.Errorf("got %v allocations for a good message, want none", got)
	}
}

// encoded builds one message with go-coap's coder.
func encoded(t testing.TB, typ message.Type, code codes.Code, mid uint16, token []byte, path, body string) []byte {
	t.Helper()
	m := message.Message{Type: typ, Code: code, MessageID: int32(mid), Token: token, Payload: []byte(body)}
	if path != "" {
		m.Options = message.Options{{ID: message.URIPath, Value: []byte(path)}}
	}
	b := make([]byte, maxMessage)
	n, err := coder.DefaultCoder.Encode(m, b)
	if err != nil {
		t.Fatal(err)
	}
	return b[:n]
}

// A refusal says which option it is about (RFC 7252 §5.5.2).
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
		b := rule{}.bytes(t, in)
		v, reply := check(b)
		if v != answer || refusal(reply) != want {
			t.Errorf("%s: got %d %x, want one that says %q", in, v, reply, want)
		}
		if v, _ := check(reply); v != pass {
			t.Errorf("%s: the answer %x is not well-formed", in, reply)
		}
	}
	if got := refusal(reset([]byte{0x40, 1, 2, 3})) + refusal(nil); got != "" {
		t.Errorf("got %q of what refuses nothing", got)
	}
}
