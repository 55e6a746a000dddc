package transport

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"time"
)

const (
	cookieSize = 20              // as long as pion's
	cookieLife = 5 * time.Minute // a key makes cookies for so long, and takes them for so long again
)

// cookies answers a first ClientHello without remembering it (RFC 6347 §4.2.1): the cookie is an HMAC over the address. The RFC would have
// the hello in it too. But who forges hellos from a node's address has the answers sent to the node, which takes the first one that comes,
// and with a cookie for another hello it would knock in vain until its handshake ends. This way any of them lets it in. What a cookie
// proves is that its address hears us, and how many handshakes an address may begin the budget says. One goroutine uses it.
type cookies struct {
	keys    [2][32]byte // the present one, and the one before
	rotated time.Time
}

func newCookies(now time.Time) *cookies {
	c := &cookies{rotated: now}
	for i := range c.keys {
		_, _ = rand.Read(c.keys[i][:]) // never fails
	}
	return c
}

func (c *cookies) rotate(now time.Time) {
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

func (c *cookies) sum(key int, from netip.AddrPort) []byte {
	m := hmac.New(sha256.New, c.keys[key][:])
	a := from.Addr().As16()
	m.Write(a[:])
	m.Write(binary.BigEndian.AppendUint16(nil, from.Port()))
	return m.Sum(nil)[:cookieSize]
}

// valid tells whether h brings back the cookie that was sent to its address.
func (c *cookies) valid(from netip.AddrPort, h hello, now time.Time) bool {
	c.rotate(now)
	return len(h.cookie) == cookieSize &&
		(hmac.Equal(h.cookie, c.sum(0, from)) || hmac.Equal(h.cookie, c.sum(1, from)))
}

// request is the HelloVerifyRequest for h, in one record: 48 bytes, and the smallest hello has 67.
func (c *cookies) request(from netip.AddrPort, h hello, now time.Time) []byte {
	c.rotate(now)
	const n = 3 + cookieSize
	out := make([]byte, 0, recordHeader+handshakeHeader+n)
	out = append(out, recordHandshake, 0xfe, 0xfd, 0, 0)
	out = append(out, h.record[5:11]...) // the record's number is the hello's
	out = binary.BigEndian.AppendUint16(out, handshakeHeader+n)
	out = append(out, msgHelloVerifyRequest, 0, 0, n, 0, 0, 0, 0, 0, 0, 0, n)
	out = append(out, 0xfe, 0xff, cookieSize) // DTLS 1.0: asked of a server whatever will be negotiated
	return append(out, c.sum(0, from)...)
}
