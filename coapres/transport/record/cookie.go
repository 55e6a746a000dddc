package record

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"net/netip"
	"time"
)

const (
	CookieSize = 20              // the same as pion's
	cookieLife = 5 * time.Minute // a key makes cookies for this time, and accepts them for twice this time
)

// Cookies answers a first ClientHello without remembering it (RFC 6347 §4.2.1): the cookie is an
// HMAC over the address. The RFC would include the hello. But if somebody forges hellos from a
// node's address, our answers go to the node, and it accepts the first one that arrives. With a
// cookie for the forged hello it would retry in vain until its handshake times out. So any cookie
// for an address is accepted from that address. A cookie proves only that its address receives what
// we send; others limit how many handshakes an address may begin. Not safe for concurrent use.
type Cookies struct {
	macs    [2]hash.Hash // with the present key, and with the one before
	rotated time.Time
	// Memory of one call. Without it a flood of hellos would leave much garbage.
	input   [16 + 2]byte
	output  [sha256.Size]byte
	request [HeaderSize + HandshakeHeaderSize + requestSize]byte
}

const requestSize = 3 + CookieSize // of a HelloVerifyRequest's body

// NewCookies returns a Cookies with new random keys.
func NewCookies(now time.Time) *Cookies {
	return &Cookies{rotated: now, macs: [2]hash.Hash{newMAC(), newMAC()}}
}

// newMAC returns an HMAC with a new random key.
func newMAC() hash.Hash {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return hmac.New(sha256.New, key)
}

func (c *Cookies) rotate(now time.Time) {
	if now.Sub(c.rotated) < cookieLife {
		return
	}
	c.macs[1] = c.macs[0]
	if now.Sub(c.rotated) >= 2*cookieLife {
		c.macs[1] = newMAC()
	}
	c.macs[0] = newMAC()
	c.rotated = now
}

// sum returns the cookie for an address, which is valid until the next call.
func (c *Cookies) sum(key int, from netip.AddrPort) []byte {
	m := c.macs[key]
	m.Reset()
	a := from.Addr().As16()
	binary.BigEndian.PutUint16(c.input[copy(c.input[:], a[:]):], from.Port())
	m.Write(c.input[:])
	return m.Sum(c.output[:0])[:CookieSize]
}

// IsValid tells whether h brings back the cookie that was sent to its address.
func (c *Cookies) IsValid(from netip.AddrPort, h Hello, now time.Time) bool {
	c.rotate(now)
	return len(h.Cookie) == CookieSize &&
		(hmac.Equal(h.Cookie, c.sum(0, from)) || hmac.Equal(h.Cookie, c.sum(1, from)))
}

// MakeRequest returns the HelloVerifyRequest for h, in one record of 48 bytes, which is valid until
// the next call. The smallest hello has 67.
func (c *Cookies) MakeRequest(from netip.AddrPort, h Hello, now time.Time) []byte {
	c.rotate(now)
	out := append(c.request[:0], Handshake, 0xfe, 0xfd, 0, 0)
	out = append(out, h.Record[5:11]...) // the record's number is the hello's
	out = binary.BigEndian.AppendUint16(out, HandshakeHeaderSize+requestSize)
	out = append(out, HelloVerifyRequest, 0, 0, requestSize, 0, 0, 0, 0, 0, 0, 0, requestSize)
	out = append(out, 0xfe, 0xff, CookieSize) // DTLS 1.0, whatever will be negotiated (RFC 6347 §4.2.1)
	return append(out, c.sum(0, from)...)
}
