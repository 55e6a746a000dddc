// Package protect seals and opens the records of a DTLS 1.2 association, once its handshake has
// agreed on keys: it has the three cipher suites of this project, with and without connection IDs
// (RFC 9146), the window against replays, the numbers of records, and the alerts. It makes no
// handshake, opens no socket, starts no goroutine, and allocates nothing per record.
//
//	nonce, CCM      = write IV (4) | explicit nonce (8), which stands before the sealed content
//	nonce, ChaCha20 = write IV (12) XOR (0 (4) | epoch (2) | sequence number (6))
//	data            = epoch | sequence number | type | version | length of the content
//	data with CID   = ff (8) | 25 | CID length (1) | 25 | version | epoch | sequence number | CID
//	                  | length of the inner plaintext
//	inner plaintext = content | its type (1) | zeros
package protect

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"errors"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"

	"latchkey/coapres/transport/record"
	"latchkey/coapres/transport/record/ccm"
)

// Suite is a cipher suite, by its number in IANA's registry.
type Suite uint16

const (
	PSKWithAES128CCM8            Suite = 0xc0a8 // RFC 6655
	PSKWithAES128CCM             Suite = 0xc0a4 // RFC 6655
	ECDHEPSKWithChaCha20Poly1305 Suite = 0xccac // RFC 7905
)

const (
	maxKey       = 32
	maxIV        = 12
	explicitSize = 8   // the explicit nonce of CCM (RFC 6655 §3)
	maxCID       = 255 // RFC 9146 §3

	// MaxContent is how long the content of a record may be (RFC 6347 §4.1).
	MaxContent = 1 << 14

	epoch = 1 // of all records after the only handshake
)

var (
	// ErrMalformed is returned for a record that is not for this association: another epoch,
	// version, type or connection ID, or a wrong length.
	ErrMalformed = errors.New("protect: not a record of this association")
	// ErrReplayed is returned for a record that came before, or that is older than the window.
	ErrReplayed = errors.New("protect: record replayed or too old")
	// ErrForged is returned for a record that does not fit its tag.
	ErrForged = errors.New("protect: record does not fit its tag")
	// ErrContent is returned for an authentic record with a content that DTLS does not allow.
	ErrContent = errors.New("protect: content not allowed")
	// ErrNumbers is returned when an association has no more sequence numbers, or has ended.
	ErrNumbers = errors.New("protect: no more sequence numbers")
)

// Sizes returns how long a key and a write IV of the suite are, in bytes. ok is false for a suite
// that this package does not have.
func (s Suite) Sizes() (key, iv int, ok bool) {
	switch s {
	case PSKWithAES128CCM8, PSKWithAES128CCM:
		return 16, 4, true
	case ECDHEPSKWithChaCha20Poly1305:
		return maxKey, maxIV, true
	}
	return 0, 0, false
}

// Key is the key and the write IV of one direction of an association. It prints as [redacted]. The
// zero Key seals and opens nothing.
type Key struct {
	_     [0]func() // not comparable: == on a secret is not constant time
	suite Suite
	// A pointer, because fmt sometimes cannot call Format and then prints the fields themselves.
	bytes *[maxKey + maxIV]byte
}

// NewKey copies key and iv, which have the sizes of the suite.
func NewKey(suite Suite, key, iv []byte) (Key, error) {
	keySize, ivSize, ok := suite.Sizes()
	if !ok {
		return Key{}, fmt.Errorf("protect: unknown cipher suite %#04x", uint16(suite))
	}
	if len(key) != keySize || len(iv) != ivSize {
		return Key{}, fmt.Errorf("protect: key of %d bytes and IV of %d, not %d and %d", len(key), len(iv),
			keySize, ivSize)
	}
	k := Key{suite: suite, bytes: new([maxKey + maxIV]byte)}
	copy(k.bytes[:maxKey], key)
	copy(k.bytes[maxKey:], iv)
	return k, nil
}

// Suite returns the key's cipher suite.
func (k Key) Suite() Suite { return k.suite }

// AppendTo appends key and write IV, in this order and without their lengths, which the suite gives.
// It is for sealed storage only. The zero Key appends nothing.
func (k Key) AppendTo(b []byte) []byte {
	keySize, ivSize, ok := k.suite.Sizes()
	if !ok {
		return b
	}
	b = append(b, k.bytes[:keySize]...)
	return append(b, k.bytes[maxKey:maxKey+ivSize]...)
}

// Equal compares two keys in constant time.
func (k Key) Equal(other Key) bool {
	return k.suite == other.suite && subtle.ConstantTimeCompare(k.AppendTo(nil), other.AppendTo(nil)) == 1
}

// Format implements [fmt.Formatter].
func (k Key) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[redacted]")) }

// Scratch is memory that Seal and Open work in. Each goroutine needs its own, and one of them
// serves any number of associations.
type Scratch struct {
	mode  ccm.Scratch
	nonce [explicitSize + 4]byte
	data  [23 + maxCID]byte
}

// direction seals or opens with one key.
type direction struct {
	mode   ccm.Mode    // used if chacha is nil
	chacha cipher.AEAD // nil for the suites with CCM
	key    Key         // as it was given
	iv     [maxIV]byte
	tag    uint8
	cid    []byte // of the other side's choice if we seal, ours if we open; may be empty
}

func newDirection(k Key, cid []byte) (d direction, err error) {
	keySize, _, ok := k.suite.Sizes()
	if !ok { // the zero Key
		return d, errors.New("protect: no key")
	}
	if len(cid) > maxCID {
		return d, fmt.Errorf("protect: connection ID of %d bytes", len(cid))
	}
	if len(cid) > 0 {
		d.cid = append([]byte(nil), cid...)
	}
	d.key, d.iv = k, [maxIV]byte(k.bytes[maxKey:])
	if k.suite == ECDHEPSKWithChaCha20Poly1305 {
		d.tag = chacha20poly1305.Overhead
		d.chacha, err = chacha20poly1305.New(k.bytes[:keySize])
		return d, err
	}
	d.tag = 16
	if k.suite == PSKWithAES128CCM8 {
		d.tag = 8
	}
	block, err := aes.NewCipher(k.bytes[:keySize])
	if err != nil {
		return d, err
	}
	d.mode, err = ccm.New(block, int(d.tag), len(Scratch{}.nonce))
	return d, err
}

// Key returns the key of this direction.
func (d *direction) Key() Key { return d.key }

// CID returns the connection ID in the records of this direction. It must not be changed.
func (d *direction) CID() []byte { return d.cid }

// explicit returns how many bytes of nonce stand before the sealed content.
func (d *direction) explicit() int {
	if d.chacha != nil {
		return 0
	}
	return explicitSize
}

// header returns how long the header of a record is.
func (d *direction) header() int { return record.HeaderSize + len(d.cid) }

// setNonce fills s.nonce. number is the record's epoch and sequence number, explicit what stands
// before the sealed content.
func (d *direction) setNonce(s *Scratch, number, explicit []byte) {
	if d.chacha == nil {
		copy(s.nonce[:4], d.iv[:4])
		copy(s.nonce[4:], explicit)
		return
	}
	s.nonce = d.iv
	for i, b := range number {
		s.nonce[4+i] ^= b
	}
}

// setData fills s.data with the additional data for a record with this header, and returns it. size
// is the length of what is sealed, without its tag.
func (d *direction) setData(s *Scratch, header []byte, size int) []byte {
	const number = 3 // where epoch and sequence number begin
	b := s.data[:0]
	if len(d.cid) == 0 {
		b = append(b, header[number:number+8]...)
		b = append(b, header[:number]...)
	} else {
		b = append(b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, record.TLS12CID, byte(len(d.cid)))
		b = append(b, header[:number+8+len(d.cid)]...)
	}
	return append(b, byte(size>>8), byte(size))
}
