package transport

import (
	"encoding/binary"
	"net"
	"net/netip"
	"sync/atomic"

	"github.com/pion/dtls/v3/pkg/protocol/alert"
)

// guard is a node's socket below pion: it lets through what the gateway may send, and nothing in the clear once the handshake is complete. A
// forged plaintext record would end the session otherwise.
type guard struct {
	*net.UDPConn
	gateway netip.AddrPort
	done    atomic.Bool   // the handshake is complete
	alert   atomic.Uint32 // the last alert that came in the clear; whoever can send a datagram can send one
	plain   uint64        // of the reading goroutine; the number of the next plaintext record
}

// ReadFrom returns the next datagram with whatever of it may pass. Its address is the one that pion was given.
func (g *guard) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := g.UDPConn.ReadFromUDPAddrPort(b)
		if err != nil {
			return 0, nil, err
		}
		if from.Port() != g.gateway.Port() || from.Addr().Unmap().WithZone("") != g.gateway.Addr().WithZone("") {
			continue
		}
		kept := b[:0]
		for rest := b[:n]; len(rest) > 0; {
			r, next, ok := splitRecord(rest)
			if !ok {
				break
			}
			if g.admits(r) {
				g.renumber(r)
				kept = append(kept, r...) // never past what was read
			}
			rest = next
		}
		if len(kept) > 0 {
			return len(kept), net.UDPAddrFromAddrPort(g.gateway), nil
		}
	}
}

func (g *guard) admits(r []byte) bool {
	if r[0] == recordCID {
		return false // we ask for none
	}
	if binary.BigEndian.Uint16(r[3:]) > 0 {
		return encrypted(r)
	}
	switch r[0] {
	case recordAlert:
		if len(r) == recordHeader+2 {
			g.alert.Store(uint32(r[recordHeader+1]))
		}
	case recordCCS:
		return !g.done.Load() && len(r) == recordHeader+1 && r[recordHeader] == 1
	case recordHandshake:
		typ, number, ok := handshakeOf(r)
		if g.done.Load() || !ok || number > 4 {
			return false
		}
		switch typ {
		case msgHelloVerifyRequest, msgServerHello, msgServerKeyExchange, msgServerHelloDone:
			return true
		}
	}
	return false
}

// renumber counts the plaintext records by itself: nothing proves their numbers. A gateway that answers a forged hello gives back the number
// that was in it (RFC 6347 §4.2.1), and after a high one pion would take all that follows for old.
func (g *guard) renumber(r []byte) {
	if r[3] == 0 && r[4] == 0 {
		binary.BigEndian.PutUint64(r[3:], g.plain) // the epoch is 0
		g.plain++
	}
}

// refusal names the alert that came in the clear, for people; empty if none did.
func (g *guard) refusal() string {
	if d := g.alert.Load(); d != 0 {
		return alert.Description(d).String()
	}
	return ""
}
