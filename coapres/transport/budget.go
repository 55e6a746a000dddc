package transport

import (
	"net/netip"
	"time"

	"golang.org/x/time/rate"
)

// Limits of handshakes. A source is an IPv4 address or an IPv6 /64.
const (
	sourceRate, sourceBurst = 100, 200
	// The default of Config.HandshakeRate, and the burst.
	totalRate, totalBurst = 400, 2 * totalRate
	maxSources            = 4096
	maxKnown              = 16384
	maxPerPeer            = 8 // half-open associations of one address and port
)

// budget limits the rate of handshakes. It counts those whose cookie came back, so their addresses
// are real. Addresses where a node has proven a key have a share of their own, which a flood from
// other addresses cannot use up. The caller locks.
type budget struct {
	*shares
	seen  map[string]netip.Addr // where each key was last proven, by its identity
	known map[netip.Addr]int    // how many were last proven there
}

func newBudget(total int) *budget {
	return &budget{shares: newShares(total, sourceRate, sourceBurst), seen: map[string]netip.Addr{},
		known: map[netip.Addr]int{}}
}

// shares are the token buckets of one limited thing: one for all addresses, one more for known
// addresses, and one for each source.
type shares struct {
	total, reserved *rate.Limiter
	perSource       rate.Limit
	sourceBurst     int
	sources         map[netip.Prefix]*rate.Limiter
}

func newShares(total, perSource, sourceBurst int) *shares {
	return &shares{total: rate.NewLimiter(rate.Limit(total), 2*total),
		reserved:  rate.NewLimiter(rate.Limit(total), 2*total),
		perSource: rate.Limit(perSource), sourceBurst: sourceBurst, sources: map[netip.Prefix]*rate.Limiter{}}
}

// allowHandshake takes a token for one handshake, if there is one. known tells whether the address
// may use the reserved share.
func (b *budget) allowHandshake(a netip.Addr, now time.Time) (ok, known bool) {
	a = a.WithZone("")
	known = b.isKnown(a)
	if known && b.reserved.AllowN(now, 1) {
		return true, true
	}
	s := b.findBucket(a, now)
	return (s == nil || s.AllowN(now, 1)) && b.total.AllowN(now, 1), known
}

// isKnown tells whether a key was last proven at an address.
func (b *budget) isKnown(a netip.Addr) bool {
	return b.known[a.WithZone("")] > 0
}

// sourceOf returns the source that an address belongs to.
func sourceOf(a netip.Addr) netip.Prefix {
	bits := 64
	if a.Is4() {
		bits = 32
	}
	p, _ := a.WithZone("").Prefix(bits) // never fails
	return p
}

// findBucket returns the bucket of an address. It is nil when there are too many sources to tell
// apart; then only the total is limited.
func (s *shares) findBucket(a netip.Addr, now time.Time) *rate.Limiter {
	p := sourceOf(a)
	if l := s.sources[p]; l != nil {
		return l
	}
	if len(s.sources) >= maxSources {
		for p, l := range s.sources {
			if l.TokensAt(now) >= float64(s.sourceBurst) {
				delete(s.sources, p)
			}
		}
		if len(s.sources) >= maxSources {
			return nil
		}
	}
	l := rate.NewLimiter(s.perSource, s.sourceBurst)
	s.sources[p] = l
	return l
}

// noteProven records the address where a key was proven. Each key has one address, so whoever holds
// a stolen key cannot make a whole network known.
func (b *budget) noteProven(identity string, a netip.Addr) {
	if _, ok := b.seen[identity]; !ok && len(b.seen) >= maxKnown {
		for other := range b.seen { // any one
			b.forgetIdentity(other)
			break
		}
	}
	b.forgetIdentity(identity)
	a = a.WithZone("")
	b.seen[identity] = a
	b.known[a]++
}

func (b *budget) forgetIdentity(identity string) {
	a, ok := b.seen[identity]
	if !ok {
		return
	}
	delete(b.seen, identity)
	if b.known[a]--; b.known[a] == 0 {
		delete(b.known, a)
	}
}
