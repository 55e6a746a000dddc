package record

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
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
	keys    [2][32]byte // the present key, and the one before
	rotated time.Time
}

// NewCookies returns a Cookies with new random keys.
func NewCookies(now time.Time) *Cookies {
	c := &Cookies{rotated: now}
	for i := range c.keys {
		_, _ = rand.Read(c.keys[i][:]) // never fails
	}
	return c
}

func (c *Cookies) rotate(now time.Time) {
	if now.Sub(c.rotated) < cookieLife {
		return
	}
	c.keys[1] = c.keys[0]
	if now.Sub(c.rotated) >= 2*cookieLife {
		_, _ = rand.Read(c.keys[1][:])
	}
	_, _ = rand.Read(c.keys[0][:])
	c.rotated = now
}

func (c *Cookies) sum(key int, from netip.AddrPort) []byte {
	m := hmac.New(sha256.New, c.keys[key][:])
	a := from.Addr().As16()
	m.Write(a[:])
	m.Write(binary.BigEndian.AppendUint16(nil, from.Port()))
	return m.Sum(nil)[:CookieSize]
}

// IsValid tells whether h brings back the cookie that was sent to its address.
func (c *Cookies) IsValid(from netip.AddrPort, h Hello, now time.Time) bool {
	c.rotate(now)
	return len(h.Cookie) == CookieSize &&
		(hmac.Equal(h.Cookie, c.sum(0, from)) || hmac.Equal(h.Cookie, c.sum(1, from)))
}

// MakeRequest returns the HelloVerifyRequest for h, in one record of 48 bytes. The smallest hello
// has 67.
func (c *Cookies) MakeRequest(from netip.AddrPort, h Hello, now time.Time) []byte {
	c.rotate(now)
	const n = 3 + CookieSize
	out := make([]byte, 0, HeaderSize+HandshakeHeaderSize+n)
	out = append(out, Handshake, 0xfe, 0xfd, 0, 0)
	out = append(out, h.Record[5:11]...) // the record's number is the hello's
	out = binary.BigEndian.AppendUint16(out, HandshakeHeaderSize+n)
	out = append(out, HelloVerifyRequest, 0, 0, n, 0, 0, 0, 0, 0, 0, 0, n)
	out = append(out, 0xfe, 0xff, CookieSize) // DTLS 1.0, whatever will be negotiated (RFC 6347 §4.2.1)
	return append(out, c.sum(0, from)...)
}
