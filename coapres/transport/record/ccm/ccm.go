// Package ccm is the mode CCM (RFC 3610, NIST SP 800-38C) over a 128-bit block cipher that the
// caller brings. It allocates nothing per call. It has no block cipher of its own, makes no nonces,
// and does not know records.
//
//	B0        = flags | nonce | message length (L bytes): the first block of the CBC-MAC
//	A(i)      = L-1 | nonce | i (L bytes): E(A(0)) masks the tag, E(A(1)) … the message
//	encrypted = message XOR (E(A(1)) | E(A(2)) | …) | tag (M bytes)
package ccm

import (
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

const (
	blockSize   = 16
	chunkBlocks = 8
	chunk       = chunkBlocks * blockSize // bytes that are encrypted at a time

	// MaxMessage is how long a message may be, in bytes, with every size of nonce.
	MaxMessage = 1<<16 - 1
	// MaxData is how long the additional data may be: longer ones need another form of their length
	// (RFC 3610 §2.2).
	MaxData = 1<<16 - 1<<8 - 1
)

// ErrOpen is returned for a message that does not fit its tag.
var ErrOpen = errors.New("ccm: message authentication failed")

// Mode is CCM with one key. It is safe for concurrent use if its block cipher is, as those of
// crypto/aes are.
type Mode struct {
	block            cipher.Block
	tagSize, nonceSz int
}

// Scratch is memory that Seal and Open work in. Each goroutine needs its own. On the stack it would
// be moved to the heap at each call, because the block cipher is an interface.
type Scratch struct {
	mac, counter, mask [blockSize]byte
	stream             [chunk]byte
}

// New returns CCM over block, with tags of tagSize bytes (RFC 3610's M: 4, 6, … 16) and nonces of
// nonceSize bytes (15-L: 7 … 13).
func New(block cipher.Block, tagSize, nonceSize int) (Mode, error) {
	switch {
	case block.BlockSize() != blockSize:
		return Mode{}, fmt.Errorf("ccm: blocks of %d bytes, not 16", block.BlockSize())
	case tagSize < 4, tagSize > 16, tagSize%2 != 0:
		return Mode{}, fmt.Errorf("ccm: a tag of %d bytes", tagSize)
	case nonceSize < 7, nonceSize > 13:
		return Mode{}, fmt.Errorf("ccm: a nonce of %d bytes", nonceSize)
	}
	return Mode{block: block, tagSize: tagSize, nonceSz: nonceSize}, nil
}

// TagSize returns how many bytes a sealed message is longer.
func (m *Mode) TagSize() int { return m.tagSize }

// Seal encrypts message, authenticates it together with data, and appends the result and its tag to
// dst. A nonce must never be used twice with one key. message may begin where the result will
// begin; otherwise they must not overlap. Sizes out of bounds are errors of the program and panic.
func (m *Mode) Seal(dst, nonce, message, data []byte, s *Scratch) []byte {
	m.begin(nonce, data, len(message), s)
	start := len(dst)
	dst = slices.Grow(dst, len(message)+m.tagSize)[:start+len(message)+m.tagSize]
	out := dst[start:]

	for n := uint16(1); len(message) > 0; n += chunkBlocks {
		part := message[:min(len(message), chunk)]
		m.makeStream(n, len(part), s)
		m.authenticate(part, s)
		subtle.XORBytes(out, part, s.stream[:])
		message, out = message[len(part):], out[len(part):]
	}

	subtle.XORBytes(s.mac[:], s.mac[:], s.mask[:])
	copy(out, s.mac[:m.tagSize])
	return dst
}

// Open is the inverse of Seal: it appends the message to dst if the tag fits. If not, it returns
// [ErrOpen], and the bytes of dst's array that it has written to are zero. sealed and the result
// must not overlap, so that another key can be tried.
func (m *Mode) Open(dst, nonce, sealed, data []byte, s *Scratch) ([]byte, error) {
	size := len(sealed) - m.tagSize
	if size < 0 || size > MaxMessage {
		return nil, ErrOpen
	}
	m.begin(nonce, data, size, s)
	start := len(dst)
	dst = slices.Grow(dst, size)[:start+size]
	out, tag := dst[start:], sealed[size:]

	for n, in := uint16(1), sealed[:size]; len(in) > 0; n += chunkBlocks {
		part := min(len(in), chunk)
		m.makeStream(n, part, s)
		subtle.XORBytes(out, in[:part], s.stream[:])
		m.authenticate(out[:part], s)
		in, out = in[part:], out[part:]
	}

	subtle.XORBytes(s.mac[:], s.mac[:], s.mask[:])
	if subtle.ConstantTimeCompare(s.mac[:m.tagSize], tag) != 1 {
		clear(dst[start:])
		return nil, ErrOpen
	}
	return dst, nil
}

// makeStream fills stream with E(A(n)), E(A(n+1)) … for size bytes. All counters are written before
// the first is encrypted: a block of 16 bytes that is read just after a part of it was written
// makes the processor wait.
func (m *Mode) makeStream(n uint16, size int, s *Scratch) {
	for i := 0; i < size; i, n = i+blockSize, n+1 {
		*(*[blockSize]byte)(s.stream[i:]) = s.counter
		binary.BigEndian.PutUint16(s.stream[i+blockSize-2:], n)
	}
	for i := 0; i < size; i += blockSize {
		m.block.Encrypt(s.stream[i:i+blockSize], s.stream[i:i+blockSize])
	}
}

// authenticate adds b to the CBC-MAC, with zeros after it to the end of its last block.
func (m *Mode) authenticate(b []byte, s *Scratch) {
	for len(b) > 0 {
		n := subtle.XORBytes(s.mac[:], s.mac[:], b[:min(len(b), blockSize)])
		m.block.Encrypt(s.mac[:], s.mac[:])
		b = b[n:]
	}
}

// begin sets mac to the CBC-MAC of B0 and data, counter to A(0), and mask to E(A(0)).
func (m *Mode) begin(nonce, data []byte, size int, s *Scratch) {
	if len(nonce) != m.nonceSz || size > MaxMessage || len(data) > MaxData {
		panic(fmt.Sprintf("ccm: nonce of %d bytes, message of %d, data of %d", len(nonce), size, len(data)))
	}
	l := byte(15 - m.nonceSz)
	s.counter = [blockSize]byte{l - 1}
	copy(s.counter[1:], nonce)

	s.mac = s.counter
	s.mac[0] |= byte(m.tagSize-2) / 2 << 3 // RFC 3610 §2.2
	if len(data) > 0 {
		s.mac[0] |= 1 << 6
	}
	binary.BigEndian.PutUint16(s.mac[blockSize-2:], uint16(size))

	m.block.Encrypt(s.mask[:], s.counter[:])
	m.block.Encrypt(s.mac[:], s.mac[:])
	if len(data) == 0 {
		return
	}

	// Two bytes of length stand before the data (RFC 3610 §2.2), zeros fill its last block.
	s.mac[0] ^= byte(len(data) >> 8)
	s.mac[1] ^= byte(len(data))
	n := subtle.XORBytes(s.mac[2:], s.mac[2:], data)
	m.block.Encrypt(s.mac[:], s.mac[:])
	m.authenticate(data[n:], s)
}
