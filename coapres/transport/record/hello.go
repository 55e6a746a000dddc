// Package record reads and writes DTLS 1.2 records (RFC 6347) as bytes: it splits a datagram,
// parses the ClientHello and the handshake header, answers a first ClientHello with a cookie, and
// knows the HelloRequest. It opens no socket, starts no goroutine, holds no key of a session and
// decrypts nothing.
//
//	record    = type (1) | version (2) | epoch (2) | sequence number (6) | length (2) | fragment
//	with CID  = type 25 | version (2) | epoch (2) | sequence number (6) | CID (8) | length (2)
//	            | fragment
//	handshake = type (1) | length (3) | message_seq (2) | fragment offset (3) | its length (3)
//	            | body
package record

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
)

const (
	HeaderSize          = 13 // of a record without a connection ID (RFC 6347 §4.1)
	HandshakeHeaderSize = 12 // of a handshake message in a record (RFC 6347 §4.2.2)

	// CIDSize is the length of our connection IDs (RFC 9146): 8 random bytes.
	CIDSize = 8
)

// DTLS record types.
const (
	ChangeCipherSpec = 20
	Alert            = 21
	Handshake        = 22
	ApplicationData  = 23
	TLS12CID         = 25 // with a connection ID (RFC 9146 §4)
)

// Handshake message types.
const (
	ClientHello        = 1
	ServerHello        = 2
	HelloVerifyRequest = 3
	ServerKeyExchange  = 12
	ServerHelloDone    = 14
	ClientKeyExchange  = 16
	Finished           = 20
)

var (
	errFragmented = errors.New("fragmented ClientHello")
	errMalformed  = errors.New("malformed ClientHello")
)

// Hello is a ClientHello in one record (RFC 5246 §7.4.1.2, RFC 6347 §4.2.1). Its slices alias the
// record.
type Hello struct {
	Record   []byte
	Sequence uint64 // of the record
	Number   uint16 // message_seq: 0 before, 1 after a HelloVerifyRequest
	Cookie   []byte
	CookieAt int // offset in the record of the cookie's length
}

// Split splits the first record off a datagram. ok is false if there is no whole record.
func Split(b []byte) (record, rest []byte, ok bool) {
	head := HeaderSize
	if len(b) > 0 && b[0] == TLS12CID {
		head += CIDSize
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

// IsEncrypted tells whether pion decrypts a record before it accepts it. Anybody can forge the
// others: all records of epoch 0, even with a connection ID, and a ChangeCipherSpec of any epoch.
func IsEncrypted(r []byte) bool { return (r[3] != 0 || r[4] != 0) && r[0] != ChangeCipherSpec }

// ParseHandshake returns type and message_seq of the one handshake message in a record. ok is false
// for fragments, and for several in one record, which no client of ours sends.
func ParseHandshake(r []byte) (typ uint8, number uint16, ok bool) {
	if len(r) < HeaderSize+HandshakeHeaderSize {
		return 0, 0, false
	}
	m := r[HeaderSize:]
	whole := [3]byte(m[1:4]) == [3]byte(m[9:12]) && [3]byte(m[6:9]) == [3]byte{}
	n := int(m[1])<<16 | int(m[2])<<8 | int(m[3])
	return m[0], binary.BigEndian.Uint16(m[4:]), whole && len(m) == HandshakeHeaderSize+n
}

// ParseHello reads a record whose handshake type is ClientHello. Every vector is checked, so that
// nothing malformed costs an association.
func ParseHello(r []byte) (Hello, error) {
	h := Hello{Record: r}
	_, number, ok := ParseHandshake(r)
	if !ok {
		return h, errFragmented
	}
	h.Number = number
	h.Sequence = binary.BigEndian.Uint64(r[3:]) & (1<<48 - 1)
	p := HeaderSize + HandshakeHeaderSize + 2 + 32 // version, random
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
	h.CookieAt = p
	from, to, ok := vector(1, 0)
	if !ok {
		return h, errMalformed
	}
	h.Cookie = r[from:to]
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

// Random returns the client's random. It is the same when the hello comes again with a cookie.
func (h Hello) Random() [32]byte { return [32]byte(h.Record[HeaderSize+HandshakeHeaderSize+2:]) }

// Digest returns a hash of the hello's message. A repetition has the same message in another
// record.
func (h Hello) Digest() [32]byte { return sha256.Sum256(h.Record[HeaderSize:]) }

// First returns the hello that came before this one: the same without our cookie, as message 0 in
// record 0.
func (h Hello) First() []byte {
	out := append(make([]byte, 0, len(h.Record)), h.Record[:h.CookieAt]...)
	out = append(out, 0)
	out = append(out, h.Record[h.CookieAt+1+len(h.Cookie):]...)
	clear(out[3:11])
	binary.BigEndian.PutUint16(out[11:], uint16(len(out)-HeaderSize))
	m := out[HeaderSize:]
	n := len(m) - HandshakeHeaderSize
	m[1], m[2], m[3] = byte(n>>16), byte(n>>8), byte(n)
	m[4], m[5] = 0, 0
	copy(m[9:12], m[1:4])
	return out
}
