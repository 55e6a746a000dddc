// Package limits bounds how often something may be done for addresses that nobody has to prove: so
// many times a second for all, for each source, and, with a share of their own, for addresses where
// a node has proven a key. It keeps no session and sends nothing.
package limits

import (
	"net/netip"
	"time"

	"golang.org/x/time/rate"
)

// Limits of handshakes. A source is an IPv4 address or an IPv6 /64.
const (
	// HandshakeRate is the default for all sources together. Twice as many may come at once.
	HandshakeRate = 400

	// SourceRate is for one source. SourceBurst may come at once.
	SourceRate, SourceBurst = 100, 200
	// MaxSources is how many sources are told apart.
	MaxSources = 4096

	maxKnown = 16384
)

// Budget limits the rate of handshakes. It counts those whose cookie came back, so their addresses
// are real. Addresses where a node has proven a key have a share of their own, which a flood from
// other addresses cannot use up. The caller locks.
type Budget struct {
	*Shares
	seen  map[string]netip.Addr // where each key was last proven, by its identity
	known map[netip.Addr]int    // how many were last proven there
}

// NewBudget returns a budget of so many handshakes a second.
func NewBudget(total int) *Budget {
	return &Budget{Shares: NewShares(total, SourceRate, SourceBurst), seen: map[string]netip.Addr{},
		known: map[netip.Addr]int{}}
}

// Shares are the token buckets of one limited thing: one for all addresses, one more for known
// addresses, and one for each source.
type Shares struct {
	Total, Reserved *rate.Limiter
	sources         buckets[netip.Prefix]
}

// NewShares returns full buckets. Those for all addresses get total tokens a second.
func NewShares(total, perSource, sourceBurst int) *Shares {
	return &Shares{Total: rate.NewLimiter(rate.Limit(total), 2*total),
		Reserved: rate.NewLimiter(rate.Limit(total), 2*total),
		sources:  newBuckets[netip.Prefix](perSource, sourceBurst, MaxSources)}
}

// Len returns how many sources are told apart now.
func (s *Shares) Len() int { return len(s.sources.byKey) }

// Allow takes a token for one handshake, if there is one. known tells whether the address
// may use the reserved share.
func (b *Budget) Allow(a netip.Addr, now time.Time) (ok, known bool) {
	a = a.WithZone("")
	known = b.IsKnown(a)
	if known && b.Reserved.AllowN(now, 1) {
		return true, true
	}
	s := b.FindBucket(a, now)
	return (s == nil || s.AllowN(now, 1)) && b.Total.AllowN(now, 1), known
}

// IsKnown tells whether a key was last proven at an address.
func (b *Budget) IsKnown(a netip.Addr) bool {
	return b.known[a.WithZone("")] > 0
}

// SourceOf returns the source that an address belongs to.
func SourceOf(a netip.Addr) netip.Prefix {
	bits := 64
	if a.Is4() {
		bits = 32
	}
	p, _ := a.WithZone("").Prefix(bits) // never fails
	return p
}

// FindBucket returns the bucket of an address. It is nil when there are too many sources to tell
// apart; then only the total is limited.
func (s *Shares) FindBucket(a netip.Addr, now time.Time) *rate.Limiter {
	return s.sources.find(SourceOf(a), now)
}

// NoteProven records the address where a key was proven. Each key has one address, so whoever holds
// a stolen key cannot make a whole network known.
func (b *Budget) NoteProven(identity string, a netip.Addr) {
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

func (b *Budget) forgetIdentity(identity string) {
	a, ok := b.seen[identity]
	if !ok {
		return
	}
	delete(b.seen, identity)
	if b.known[a]--; b.known[a] == 0 {
		delete(b.known, a)
	}
}
