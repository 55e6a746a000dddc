package transport

import (
	"context"
	"hash/maphash"
	"net/netip"
	"time"

	"golang.org/x/time/rate"

	"latchkey/coapres/transport/record"
)

// A hint is a HelloRequest in plaintext (RFC 5246 §7.4.1.1). It says that the gateway has no
// session with that address. It proves nothing, so a node only asks on its session whether that is
// true. An encrypted HelloRequest would end OpenSSL's sessions.

// Limits of hints: for one address and port, for one source, and for all.
const (
	hintPeerRate, hintPeerBurst     = 1, 3
	hintSourceRate, hintSourceBurst = 20, 200
	hintRate                        = 400 // as many as handshakes; twice as many at once
	maxHinted                       = 8192
	// After a ClientHello; libcoap with GnuTLS gives up its handshake at a hint.
	hintRest  = 5 * time.Second
	hintSlots = 1 << 16
)

// hints decides to which addresses a hint may go. The caller locks.
type hints struct {
	shares *shares
	peers  map[netip.AddrPort]*rate.Limiter

	// When the last ClientHello came from one of the addresses that share a slot. Each address has
	// two slots, and counts as noted if both are. So the table has a fixed size and forgets no
	// hello, although anybody can forge hellos from any number of addresses. A flood of them only
	// suppresses some hints: one in seven at 3,200 hellos a second.
	seed  maphash.Seed
	since time.Time
	began [hintSlots]time.Duration
}

func newHints(now time.Time) *hints {
	return &hints{shares: newShares(hintRate, hintSourceRate, hintSourceBurst),
		peers: map[netip.AddrPort]*rate.Limiter{},
		seed:  maphash.MakeSeed(), since: now.Add(-hintRest)}
}

func (h *hints) slots(at netip.AddrPort) (one, other *time.Duration) {
	sum := maphash.Comparable(h.seed, at)
	return &h.began[sum%hintSlots], &h.began[sum>>32%hintSlots]
}

// noteHello records that a ClientHello of any kind came from an address: a handshake may be under
// way there, with this gateway or with the one before a restart.
func (h *hints) noteHello(at netip.AddrPort, now time.Time) {
	one, other := h.slots(at)
	*one, *other = now.Sub(h.since), now.Sub(h.since)
}

// mayBeInHandshake tells whether a handshake may be under way at an address.
func (h *hints) mayBeInHandshake(at netip.AddrPort, now time.Time) bool {
	one, other := h.slots(at)
	return now.Sub(h.since)-min(*one, *other) < hintRest
}

// allowHint takes a token for one hint.
func (h *hints) allowHint(at netip.AddrPort, known bool, now time.Time) bool {
	p := h.peers[at]
	if p != nil && !p.AllowN(now, 1) {
		return false
	}
	if s := h.shares.findBucket(at.Addr(), now); s != nil && !s.AllowN(now, 1) {
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

// answerLost answers a datagram with lost records by one hint, unless a handshake is under way at
// its address.
func (l *Listener) answerLost(from netip.AddrPort, now time.Time) {
	l.mu.Lock()
	p := l.peers[from]
	known := l.budget.isKnown(from.Addr())
	ok := (p == nil || len(p.half) == 0) && !l.hints.mayBeInHandshake(from, now) &&
		l.hints.allowHint(from, known, now)
	l.mu.Unlock()
	if ok {
		l.sendHint(from, known)
	}
}

func (l *Listener) sendHint(to netip.AddrPort, known bool) {
	l.counts.hints.Add(1)
	l.socket.writeUnproven(record.HelloRequest, to, known)
}

// Hint sends one hint to each of these addresses, in their order, and no faster than the gateway
// can take the handshakes that follow. It is for the start of a gateway: nodes at these addresses
// learn at once that their sessions are gone. It returns when all are sent or ctx ends.
func (l *Listener) Hint(ctx context.Context, addrs []netip.AddrPort) {
	pace := rate.NewLimiter(hintRate, 1)
	for _, to := range addrs {
		if !to.IsValid() || pace.Wait(ctx) != nil {
			continue
		}
		l.mu.Lock()
		free := l.peers[to] == nil && !l.hints.mayBeInHandshake(to, time.Now())
		l.mu.Unlock()
		if free {
			l.sendHint(to, true)
		}
	}
}
