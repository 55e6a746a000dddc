package transport

import (
	"bytes"
	"context"
	"net/netip"
	"time"

	"golang.org/x/time/rate"
)

// A hint is a HelloRequest in the clear (RFC 5246 §7.4.1.1): the gateway has no session with whoever is at that address. It proves nothing, so
// a node only asks on its session whether that is so. An encrypted one would end OpenSSL's sessions.

// helloRequest is the whole record. Its number is 0: a stack that is in its handshake has had that one from us, and drops it as a repeat.
var helloRequest = []byte{recordHandshake, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, handshakeHeader, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

// isHelloRequest tells whether a record is a hint, of either version and any number.
func isHelloRequest(r []byte) bool {
	return len(r) == len(helloRequest) && r[0] == recordHandshake && r[3] == 0 && r[4] == 0 &&
		bytes.Equal(r[recordHeader-2:], helloRequest[recordHeader-2:])
}

// What hints may cost: for one address and port, for one source, and for all.
const (
	hintPeerRate, hintPeerBurst     = 1, 3
	hintSourceRate, hintSourceBurst = 20, 200
	hintRate                        = 400 // as many as there are handshakes; twice as many at once
	maxHinted                       = 8192
	hintRest                        = 5 * time.Second // after a handshake has begun; libcoap with GnuTLS gives one up at a hint
	maxBegun                        = 8192            // first ClientHellos that count as a beginning; what has brought its cookie always counts
)

// hints says where a hint may go. The caller locks.
type hints struct {
	shares *shares
	peers  map[netip.AddrPort]*rate.Limiter
	begun  map[netip.AddrPort]time.Time // where a handshake began, and when last
	swept  time.Time                    // begun has nothing that was old then
}

func newHints() *hints {
	return &hints{shares: newShares(hintRate, hintSourceRate, hintSourceBurst), peers: map[netip.AddrPort]*rate.Limiter{},
		begun: map[netip.AddrPort]time.Time{}}
}

// note notes that a handshake begins at an address: with a first ClientHello, which anybody can forge, or with its cookie.
func (h *hints) note(at netip.AddrPort, first bool, now time.Time) {
	if now.Sub(h.swept) >= hintRest {
		h.swept = now
		for a, began := range h.begun {
			if now.Sub(began) >= hintRest {
				delete(h.begun, a)
			}
		}
	}
	if _, known := h.begun[at]; known || !first || len(h.begun) < maxBegun {
		h.begun[at] = now
	}
}

// resting tells whether a handshake began at an address in the last seconds.
func (h *hints) resting(at netip.AddrPort, now time.Time) bool {
	began, ok := h.begun[at]
	return ok && now.Sub(began) < hintRest
}

// allow takes a token for one hint.
func (h *hints) allow(at netip.AddrPort, known bool, now time.Time) bool {
	p := h.peers[at]
	if p != nil && !p.AllowN(now, 1) {
		return false
	}
	if s := h.shares.source(at.Addr(), now); s != nil && !s.AllowN(now, 1) {
		return false
	}
	if !(known && h.shares.reserved.AllowN(now, 1)) && !h.shares.total.AllowN(now, 1) {
		return false
	}
	if p == nil {
		if len(h.peers) >= maxHinted {
			for a, l := range h.peers {
				if l.TokensAt(now) >= hintPeerBurst {
					delete(h.peers, a)
				}
			}
			if len(h.peers) >= maxHinted {
				return false
			}
		}
		p = rate.NewLimiter(hintPeerRate, hintPeerBurst)
		h.peers[at] = p
		p.AllowN(now, 1)
	}
	return true
}

// mayHint tells whether a record that is for no association may be answered with a hint. Only application data of epoch 1 and above is: were
// anything of epoch 0 answered, two gateways could be made to answer each other. And only what is at least as long. The caller holds l.mu.
func (l *Listener) mayHint(r []byte, from netip.AddrPort, now time.Time) bool {
	if (r[0] != recordData && r[0] != recordCID) || r[3] == 0 && r[4] == 0 || len(r) < len(helloRequest) {
		return false
	}
	if p := l.peers[from]; p != nil && (len(p.half) > 0 || r[0] == recordData) {
		return false
	}
	return !l.hints.resting(from, now) && l.hints.allow(from, l.budget.isKnown(from.Addr()), now)
}

func (l *Listener) hint(to netip.AddrPort, known bool) {
	l.counts.hints.Add(1)
	l.socket.offer(helloRequest, to, known)
}

// Hint sends a hint to each of these addresses, once, in their order and no faster than handshakes may come of it. It is for the start of a
// gateway: nodes that were at these addresses find out at once that their sessions are gone. It returns when ctx ends, or all are sent.
func (l *Listener) Hint(ctx context.Context, addrs []netip.AddrPort) {
	pace := rate.NewLimiter(hintRate, 1)
	for _, to := range addrs {
		if !to.IsValid() || pace.Wait(ctx) != nil {
			continue
		}
		l.mu.Lock()
		free := l.peers[to] == nil && !l.hints.resting(to, time.Now())
		l.mu.Unlock()
		if free {
			l.hint(to, true)
		}
	}
}
