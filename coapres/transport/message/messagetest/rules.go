// Package messagetest holds messages and the verdict on each, for the tests of code that reads
// messages.
package messagetest

import (
	"encoding/hex"
	"slices"
	"strings"

	"latchkey/coapres/transport/message"
)

// Rule is one message and the verdict on it. The bytes are in hex; white space is for people.
type Rule struct {
	Name  string
	In    string
	Want  message.Verdict
	Reply string // when answered
}

// Decode returns the bytes of a text in hex.
func Decode(text string) ([]byte, error) {
	return hex.DecodeString(strings.Join(strings.Fields(text), ""))
}

// All returns the rules for framing, for the format of options, and for critical options.
func All() []Rule { return slices.Concat(framing, optionFormat, criticalOptions) }

const rst = "70 00 1234" // what a confirmable message with ID 1234 gets when it is malformed

var framing = []Rule{
	{"nothing at all", "", message.Drop, ""},
	{"shorter than a header", "40 01 12", message.Drop, ""},
	{"version 0 is ignored, even if confirmable", "00 01 1234", message.Drop, ""},
	{"version 2 is ignored", "80 01 1234", message.Drop, ""},
	{"version 3 is ignored", "c0 01 1234", message.Drop, ""},
	{"a GET of the root", "40 01 1234", message.Pass, ""},
	{"a non-confirmable GET", "50 01 1234", message.Pass, ""},
	{"a token of 8 bytes", "48 01 1234 0102030405060708", message.Pass, ""},
	{"a token length of 9 is a format error", "49 01 1234 010203040506070809", message.Answer, rst},
	{"a token length of 15 is a format error", "4f 01 1234 0102030405060708090a0b0c0d0e0f", message.Answer,
		rst},
	{"a token length of 9 in a non-confirmable message is ignored", "59 01 1234 010203040506070809",
		message.Drop, ""},
	{"a token longer than the message", "44 01 1234 010203", message.Answer, rst},
	{"a token longer than the message, in an ACK", "64 45 1234 010203", message.Drop, ""},
	{"a token and nothing else", "44 01 1234 01020304", message.Pass, ""},

	{"an empty confirmable message is a ping: Reset", "40 00 1234", message.Answer, rst},
	{"an empty non-confirmable message is ignored", "50 00 1234", message.Drop, ""},
	{"an empty ACK", "60 00 1234", message.Pass, ""},
	{"a Reset", "70 00 1234", message.Pass, ""},
	{"an empty message with a token length", "41 00 1234", message.Answer, rst},
	{"an empty message with a token", "41 00 1234 01", message.Answer, rst},
	{"an empty message with bytes after it", "40 00 1234 ff", message.Answer, rst},
	{"an empty ACK with bytes after it is ignored", "60 00 1234 00", message.Drop, ""},
	{"an empty ACK with a token length is ignored", "61 00 1234", message.Drop, ""},
	{"a Reset with bytes after it is ignored", "70 00 1234 00", message.Drop, ""},
	{"a Reset with a token length is ignored", "71 00 1234 01", message.Drop, ""},
	{"a Reset that is not empty is ignored", "70 01 1234", message.Drop, ""},
	{"a Reset with a response is ignored", "70 45 1234", message.Drop, ""},

	{"a request code in an ACK is ignored", "60 01 1234", message.Drop, ""},
	{"a response in an ACK", "60 45 1234", message.Pass, ""},
	{"a confirmable response", "40 45 1234", message.Pass, ""},
	{"a non-confirmable response", "50 45 1234", message.Pass, ""},
	{"reserved class 1 is a format error", "40 20 1234", message.Answer, rst},
	{"reserved class 1, non-confirmable, is ignored", "50 3f 1234", message.Drop, ""},
	{"class 3 is a response class", "40 60 1234", message.Pass, ""},
	{"reserved class 6 is a format error", "40 c0 1234", message.Answer, rst},
	{"reserved class 7 is a format error", "40 ff 1234", message.Answer, rst},
	{"reserved class 7 in an ACK is ignored", "60 e0 1234", message.Drop, ""},
	{"a method that nobody knows goes on, to get 4.05", "40 1f 1234", message.Pass, ""},
}

var optionFormat = []Rule{
	{"an option without value", "40 01 1234 b0", message.Pass, ""},
	{"Uri-Path scan", "40 02 1234 b4 7363616e", message.Pass, ""},
	{"two Uri-Path options", "40 02 1234 b1 61 01 62", message.Pass, ""},
	{"an option longer than the message", "40 02 1234 b5 7363616e", message.Answer, rst},
	{"an option longer than the message, non-confirmable, is ignored", "50 02 1234 b5 7363616e", message.Drop,
		""},
	{"delta 13 takes one byte: 13+1 is Max-Age", "40 01 1234 d0 01", message.Pass, ""},
	{"delta 13 without its byte", "40 01 1234 d0", message.Answer, rst},
	{"delta 14 takes two bytes: 269+1 is elective", "40 01 1234 e0 0001", message.Pass, ""},
	{"delta 14 with one byte", "40 01 1234 e0 00", message.Answer, rst},
	{"delta 14 without its bytes", "40 01 1234 e0", message.Answer, rst},
	{"delta 15 is reserved", "40 01 1234 f0", message.Answer, rst},
	{"delta 15 with a length is reserved", "40 01 1234 f1 00", message.Answer, rst},
	{"length 13 takes one byte", "40 01 1234 bd 00 61616161616161616161616161", message.Pass, ""},
	{"length 13 without its byte", "40 01 1234 bd", message.Answer, rst},
	{"length 13 that is longer than the message", "40 01 1234 bd 01 61616161616161616161616161",
		message.Answer, rst},
	{"length 14 takes two bytes", "40 01 1234 ce 0000" + strings.Repeat("61", 269), message.Pass, ""},
	{"length 14 with one byte", "40 01 1234 be 00", message.Answer, rst},
	{"length 14 that is longer than the message", "40 01 1234 ce 0001" + strings.Repeat("61", 269),
		message.Answer, rst},
	{"length 15 is reserved", "40 01 1234 bf", message.Answer, rst},
	{"delta 13 and length 13 together", "40 01 1234 dd 01 00 61616161616161616161616161", message.Pass, ""},
	{"delta and length both extended by two bytes", "40 01 1234 ee 0001 0000" + strings.Repeat("61", 269),
		message.Pass, ""},
	{"option 65534 is the last elective one", "40 01 1234 e0 fef1", message.Pass, ""},
	{"option 65536 does not exist", "40 01 1234 e0 fef3", message.Answer, rst},
	{"a sum of deltas above 65535", "40 01 1234 e0 fef1 20", message.Answer, rst},
	{"the largest delta", "40 01 1234 e0 ffff", message.Answer, rst},
	{"a payload", "40 02 1234 ff 61", message.Pass, ""},
	{"a payload marker without payload", "40 02 1234 ff", message.Answer, rst},
	{"a payload marker without payload after an option", "40 02 1234 b1 61 ff", message.Answer, rst},
	{"a payload marker without payload, non-confirmable, is ignored", "50 02 1234 ff", message.Drop, ""},
	{"a payload marker without payload in an ACK is ignored", "60 45 1234 ff", message.Drop, ""},
	{"a payload that looks like broken options", "40 02 1234 ff f0 ff", message.Pass, ""},
}

// 44 01 1234 01020304 begins a confirmable GET with a token; 64 82 and 64 a5 are its 4.02 and 5.05.
var criticalOptions = []Rule{
	{"an unknown critical option: 4.02 in the ACK, with the token", "44 01 1234 01020304 90", message.Answer,
		"64 82 1234 01020304"},
	{"an unknown critical option behind a known one", "44 01 1234 01020304 b1 61 e0 fde9", message.Answer,
		"64 82 1234 01020304"},
	{"an unknown critical option, no token", "40 01 1234 90", message.Answer, "60 82 1234"},
	{"an unknown critical option in a non-confirmable request is ignored", "54 01 1234 01020304 90",
		message.Drop, ""},
	{"an unknown critical option in a confirmable response: Reset", "44 45 1234 01020304 90", message.Answer,
		rst},
	{"an unknown critical option in a non-confirmable response is ignored", "54 45 1234 01020304 90",
		message.Drop, ""},
	{"an unknown critical option in a piggybacked response is ignored", "64 45 1234 01020304 90",
		message.Drop, ""},
	{"a format error behind an unknown critical option is a format error", "44 01 1234 01020304 90 f0",
		message.Answer, rst},
	{"no payload behind an unknown critical option is a format error", "44 01 1234 01020304 90 ff",
		message.Answer, rst},
	{"an unknown elective option is ignored", "44 01 1234 01020304 e0 fdeb", message.Pass, ""},
	{"an elective option out of its bounds is ignored: Content-Format of 3 bytes", "40 02 1234 c3 000032",
		message.Pass, ""},
	{"an elective option twice is ignored: Content-Format", "40 02 1234 c1 32 01 3c", message.Pass, ""},
	{"Echo (252) is elective", "40 02 1234 d8 ef 0102030405060708", message.Pass, ""},
	{"If-Match is not offered", "40 02 1234 10", message.Answer, "60 82 1234"},
	{"If-None-Match is not offered", "40 02 1234 50", message.Answer, "60 82 1234"},
	{"OSCORE is not offered", "40 02 1234 90", message.Answer, "60 82 1234"},
	{"Block1 is not offered", "40 02 1234 d1 0e 06", message.Answer, "60 82 1234"},
	{"Block1 without value is not offered either", "40 02 1234 d0 0e", message.Answer, "60 82 1234"},
	{"Block2 is not offered", "40 01 1234 d1 0a 06", message.Answer, "60 82 1234"},
	{"Block2 in a response", "60 45 1234 d1 0a 06", message.Drop, ""},
	{"Proxy-Uri: 5.05", "44 01 1234 01020304 d1 16 61", message.Answer, "64 a5 1234 01020304"},
	{"Proxy-Scheme: 5.05", "40 01 1234 d1 1a 61", message.Answer, "60 a5 1234"},
	{"Proxy-Uri in a non-confirmable request is ignored", "50 01 1234 d1 16 61", message.Drop, ""},
	{"the first option refused decides: If-Match before Proxy-Uri", "40 01 1234 10 d1 15 61", message.Answer,
		"60 82 1234"},
	{"Uri-Host", "40 01 1234 31 61", message.Pass, ""},
	{"Uri-Host must not be empty", "40 01 1234 30", message.Answer, "60 82 1234"},
	{"Uri-Host of 255 bytes", "40 01 1234 3d f2" + strings.Repeat("61", 255), message.Pass, ""},
	{"Uri-Host of 256 bytes", "40 01 1234 3d f3" + strings.Repeat("61", 256), message.Answer, "60 82 1234"},
	{"Uri-Host twice", "40 01 1234 31 61 01 61", message.Answer, "60 82 1234"},
	{"Uri-Port of 2 bytes", "40 01 1234 72 1634", message.Pass, ""},
	{"Uri-Port of 3 bytes", "40 01 1234 73 001634", message.Answer, "60 82 1234"},
	{"Uri-Port twice", "40 01 1234 72 1634 02 1634", message.Answer, "60 82 1234"},
	{"Uri-Path of 255 bytes", "40 01 1234 bd f2" + strings.Repeat("61", 255), message.Pass, ""},
	{"Uri-Path of 256 bytes", "40 01 1234 bd f3" + strings.Repeat("61", 256), message.Answer, "60 82 1234"},
	{"Uri-Query of 255 bytes, three times", "40 01 1234" + " dd 02 f2" + strings.Repeat("61", 255) +
		strings.Repeat(" 0d f2"+strings.Repeat("61", 255), 2), message.Pass, ""},
	{"Uri-Query of 256 bytes", "40 01 1234 dd 02 f3" + strings.Repeat("61", 256), message.Answer,
		"60 82 1234"},
	{"Accept of 2 bytes", "40 01 1234 d2 04 003c", message.Pass, ""},
	{"Accept of 3 bytes", "40 01 1234 d3 04 00003c", message.Answer, "60 82 1234"},
	{"Accept twice", "40 01 1234 d1 04 3c 01 32", message.Answer, "60 82 1234"},
	{"Accept once and another option after it", "40 01 1234 d1 04 3c 31 61", message.Pass, ""},
}
