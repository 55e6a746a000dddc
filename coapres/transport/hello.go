package transport

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
)

const (
	recordHeader    = 13 // type, version, epoch, sequence number, length (RFC 6347 §4.1)
	handshakeHeader = 12 // type, length, message_seq, fragment offset and length (RFC 6347 §4.2.2)
)

// DTLS record types.
const (
	recordCCS       = 20
	recordAlert     = 21
	recordHandshake = 22
	recordData      = 23
	recordCID       = 25 // RFC 9146 §4: the connection ID stands between the sequence number and the length
)

// Handshake message types.
const (
	msgClientHello        = 1
	msgServerHello        = 2
	msgHelloVerifyRequest = 3
	msgServerKeyExchange  = 12
	msgServerHelloDone    = 14
	msgClientKeyExchange  = 16
)

var (
	errFragmented = errors.New("fragmented ClientHello")
	errMalformed  = errors.New("malformed ClientHello")
)

// hello is a ClientHello that stands whole in one record (RFC 5246 §7.4.1.2, RFC 6347 §4.2.1). Its slices alias the record.
type hello struct {
	record   []byte
	sequence uint64 // of the record
	number   uint16 // message_seq: 0 before, 1 after a HelloVerifyRequest
	cookie   []byte
	at       int // where in the record the cookie's length stands
}

// splitRecord cuts the first record off a datagram. ok is false when the rest cannot be read.
func splitRecord(b []byte) (record, rest []byte, ok bool) {
	head := recordHeader
	if len(b) > 0 && b[0] == recordCID {
		head += cidLen
	}
	if len(b) < head || b[1] != 0xfe || b[2] != 0xfd && b[2] != 0xff {
		return nil, nil, false
	}
	n := head + int(binary.BigEndian.Uint16(b[head-2:]))
	if n > len(b) {
		return nil, nil, false
	}
	return b[:n], b[n:], true
}

// encrypted tells whether pion decrypts a record before it takes it. What it takes as it is, anybody can forge: all of epoch 0, with a
// connection ID too, and a ChangeCipherSpec of any epoch.
func encrypted(r []byte) bool { return (r[3] != 0 || r[4] != 0) && r[0] != recordCCS }

// handshakeOf returns type and message_seq of the one handshake message in a record. ok is false for fragments, and for several in one
// record, which no client of ours sends.
func handshakeOf(r []byte) (typ uint8, number uint16, ok bool) {
	if len(r) < recordHeader+handshakeHeader {
		return 0, 0, false
	}
	m := r[recordHeader:]
	whole := [3]byte(m[1:4]) == [3]byte(m[9:12]) && [3]byte(m[6:9]) == [3]byte{}
	n := int(m[1])<<16 | int(m[2])<<8 | int(m[3])
	return m[0], binary.BigEndian.Uint16(m[4:]), whole && len(m) == handshakeHeader+n
}

// parseHello reads a record whose handshake type is ClientHello. Every vector is checked, so that nothing malformed costs an association.
func parseHello(r []byte) (hello, error) {
	h := hello{record: r}
	_, number, ok := handshakeOf(r)
	if !ok {
		return h, errFragmented
	}
	h.number = number
	h.sequence = binary.BigEndian.Uint64(r[3:]) & (1<<48 - 1)
	p := recordHeader + handshakeHeader + 2 + 32 // version, random
	vector := func(size, least int) (from, to int, ok bool) {
		if p+size > len(r) {
			return 0, 0, false
		}
		n := int(r[p])
		if size == 2 {
			n = int(binary.BigEndian.Uint16(r[p:]))
		}
		from, to = p+size, p+size+n
		p = to
		return from, to, n >= least && to <= len(r)
	}
	if _, _, ok := vector(1, 0); !ok { // session id
		return h, errMalformed
	}
	h.at = p
	from, to, ok := vector(1, 0)
	if !ok {
		return h, errMalformed
	}
	h.cookie = r[from:to]
	if from, to, ok := vector(2, 2); !ok || (to-from)%2 != 0 { // cipher suites
		return h, errMalformed
	}
	if _, _, ok := vector(1, 1); !ok { // compression methods
		return h, errMalformed
	}
	if p < len(r) {
		if _, _, ok := vector(2, 0); !ok { // extensions
			return h, errMalformed
		}
	}
	if p != len(r) {
		return h, errMalformed
	}
	return h, nil
}

// digest tells one hello from another: a repeat is the same message in another record.
func (h hello) digest() [32]byte { return sha256.Sum256(h.record[recordHeader:]) }

// first is the hello that came before this one, which has our cookie: the same without the cookie, message 0 in record 0.
func (h hello) first() []byte {
	out := append(make([]byte, 0, len(h.record)), h.record[:h.at]...)
	out = append(out, 0)
	out = append(out, h.record[h.at+1+len(h.cookie):]...)
	clear(out[3:11])
	binary.BigEndian.PutUint16(out[11:], uint16(len(out)-recordHeader))
	m := out[recordHeader:]
	n := len(m) - handshakeHeader
	m[1], m[2], m[3] = byte(n>>16), byte(n>>8), byte(n)
	m[4], m[5] = 0, 0
	copy(m[9:12], m[1:4])
	return out
}
