package transport

import (
	"net/netip"
	"time"

	"golang.org/x/time/rate"
)

// What handshakes may cost. A source is an IPv4 address or an IPv6 /64.
const (
	sourceRate, sourceBurst = 100, 200
	totalRate, totalBurst   = 400, 800 // for sources that are not known, and as much again for those that are
	maxSources              = 4096
	maxKnown                = 16384
	maxPerPeer              = 8 // half-open associations of one address and port
)

// budget meters handshakes whose cookie came back, so the addresses are real. Addresses where a node has proven a key have a share of their
// own, which a flood from elsewhere cannot use up. The caller locks.
type budget struct {
	total, reserved *rate.Limiter
	sources         map[netip.Prefix]*rate.Limiter
	known           map[netip.Addr]struct{} // where nodes were last seen
}

func newBudget() *budget {
	return &budget{total: rate.NewLimiter(totalRate, totalBurst), reserved: rate.NewLimiter(totalRate, totalBurst),
		sources: map[netip.Prefix]*rate.Limiter{}, known: map[netip.Addr]struct{}{}}
}

// allow takes a token for one handshake. known tells whether the address may use the reserved share.
func (b *budget) allow(a netip.Addr, now time.Time) (ok, known bool) {
	a = a.WithZone("")
	known = b.isKnown(a)
	if known && b.reserved.AllowN(now, 1) {
		return true, true
	}
	s := b.source(a, now)
	return (s == nil || s.AllowN(now, 1)) && b.total.AllowN(now, 1), known
}

// isKnown tells whether a node was last seen at an address.
func (b *budget) isKnown(a netip.Addr) bool {
	_, ok := b.known[a.WithZone("")]
	return ok
}

// source returns the bucket of an address; nil when there are too many sources to tell apart, and then only the total counts.
func (b *budget) source(a netip.Addr, now time.Time) *rate.Limiter {
	bits := 64
	if a.Is4() {
		bits = 32
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return nil
	}
	if l := b.sources[p]; l != nil {
		return l
	}
	if len(b.sources) >= maxSources {
		for p, l := range b.sources {
			if l.TokensAt(now) >= sourceBurst {
				delete(b.sources, p)
			}
		}
		if len(b.sources) >= maxSources {
			return nil
		}
	}
	l := rate.NewLimiter(sourceRate, sourceBurst)
	b.sources[p] = l
	return l
}

// proven notes an address where a node has proven a key.
func (b *budget) proven(a netip.Addr) {
	a = a.WithZone("")
	if _, ok := b.known[a]; !ok && len(b.known) >= maxKnown {
		for other := range b.known { // any one
			delete(b.known, other)
			break
		}
	}
	b.known[a] = struct{}{}
}
