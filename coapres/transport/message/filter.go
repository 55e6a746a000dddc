// Package message is CoAP's message layer (RFC 7252 §3, §4) as bytes and state. It tells which
// messages are well-formed, which requests are repeated, which response belongs to which request,
// and when to retransmit. It has no socket, no goroutine and no clock: callers pass the time.
package message

import (
	"encoding/binary"
	"strconv"
)

// CoAP message types (RFC 7252 §3).
const (
	CON = 0
	NON = 1
	ACK = 2
	RST = 3
)

// CoAP codes that [Check] answers with by itself.
const (
	codeBadOption         = 4<<5 | 2 // RFC 7252 §5.4.1
	codeProxyNotSupported = 5<<5 | 5 // RFC 7252 §5.10.2
)

const (
	MaxToken           = 8    // bytes of a token
	PayloadMarker byte = 0xff // stands between options and payload
)

// Verdict says what to do with a received message.
type Verdict uint8

const (
	Drop   Verdict = iota // RFC 7252 requires silence
	Pass                  // well-formed: parse it
	Answer                // send back the bytes that come with this verdict
)

// Check walks one CoAP message (RFC 7252 §3) without allocating when it is fine. A malformed
// message ends no session. If it is confirmable it is answered with a Reset, otherwise it is dropped
// (§4.2, §4.3). An empty confirmable message is a ping and gets its Reset here too. Requests with a
// critical option that we do not understand get 4.02.
func Check(m []byte) (Verdict, []byte) {
	if len(m) < 4 || m[0]>>6 != 1 {
		return Drop, nil
	}
	typ, tkl, code := m[0]>>4&3, int(m[0]&15), m[1]
	reject := func() (Verdict, []byte) {
		if typ == CON {
			return Answer, MakeReset(m)
		}
		return Drop, nil
	}
	if code == 0 { // empty: 4 bytes, no token and nothing else (§4.1)
		if len(m) != 4 || tkl != 0 || typ == CON || typ == NON {
			return reject()
		}
		return Pass, nil
	}
	class := code >> 5
	request := class == 0
	switch {
	case tkl > MaxToken || 4+tkl > len(m),
		class == 1 || class == 6 || class == 7, // reserved (§3)
		typ == RST,                             // a Reset is empty (§4.2)
		typ == ACK && request:                  // an ACK carries a response or nothing (§4.2)
		return reject()
	}
	bad, refuse, num := options(m[4+tkl:])
	switch {
	case bad:
		return reject()
	case refuse == 0:
		return Pass, nil
	case !request, typ != CON:
		return reject() // §5.4.1: a response is rejected, a non-confirmable request silently
	}
	r := append([]byte{0x40 | ACK<<4 | byte(tkl), refuse, m[2], m[3]}, m[4:4+tkl]...)
	return Answer, strconv.AppendInt(append(append(r, PayloadMarker), "option "...), int64(num), 10) // §5.5.2
}

// ReadRefusal returns the diagnostic payload of an answer that Check made, or nothing.
func ReadRefusal(reply []byte) string {
	if len(reply) < 4 || reply[1] == 0 {
		return ""
	}
	return string(reply[4+int(reply[0]&15)+1:])
}

// MaxSize is how long a CoAP message in one record may be; RFC 7252 §4.6 suggests 1,152.
const MaxSize = 1280

// MakeReset returns the Reset that rejects a confirmable message.
func MakeReset(m []byte) []byte { return []byte{0x40 | RST<<4, 0, m[2], m[3]} }

// options walks options and payload. bad means a format error. refuse is the code for a request
// with an option that we do not support, or 0; refused is the number of that option.
func options(p []byte) (bad bool, refuse byte, refused int) {
	num, last := 0, -1
	for len(p) > 0 {
		if p[0] == PayloadMarker {
			return len(p) == 1, refuse, refused // a marker without payload is a format error (§3)
		}
		delta, length := int(p[0]>>4), int(p[0]&15)
		p = p[1:]
		var ok bool
		if delta, p, ok = extended(delta, p); !ok {
			return true, 0, 0
		}
		if length, p, ok = extended(length, p); !ok || length > len(p) {
			return true, 0, 0
		}
		if num += delta; num > 65535 {
			return true, 0, 0
		}
		if c := critical(num, length, num == last); c != 0 && refuse == 0 {
			refuse, refused = c, num
		}
		last = num
		p = p[length:]
	}
	return false, refuse, refused
}

func extended(v int, p []byte) (int, []byte, bool) {
	switch {
	case v < 13:
		return v, p, true
	case v == 13 && len(p) >= 1:
		return int(p[0]) + 13, p[1:], true
	case v == 14 && len(p) >= 2:
		return int(binary.BigEndian.Uint16(p)) + 269, p[2:], true
	}
	return 0, nil, false // 15 is reserved (§3.1)
}

// critical returns the code that refuses this option, or 0. Lengths and repeatability are those of
// RFC 7252 §5.10: an option out of its bounds counts as one that is not understood (§5.4.3,
// §5.4.5). Block-wise transfer is not offered on any resource.
func critical(num, length int, repeated bool) byte {
	if num%2 == 0 {
		return 0 // elective
	}
	ok := false
	switch num {
	case 3: // Uri-Host
		ok = length >= 1 && length <= 255 && !repeated
	case 7, 17: // Uri-Port, Accept
		ok = length <= 2 && !repeated
	case 11, 15: // Uri-Path, Uri-Query
		ok = length <= 255
	case 35, 39: // Proxy-Uri, Proxy-Scheme
		return codeProxyNotSupported
	}
	if ok {
		return 0
	}
	return codeBadOption
}
