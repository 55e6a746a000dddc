package limits

import (
	"hash/maphash"
	"net/netip"
	"time"
)

// Limits of hints: for one address and port, for one source, and for all.
const (
	HintPeerRate, HintPeerBurst     = 1, 3
	HintSourceRate, HintSourceBurst = 20, 200
	HintRate                        = 400 // as many as handshakes; twice as many at once
	maxHinted                       = 8192
	// After a ClientHello; libcoap with GnuTLS gives up its handshake at a hint.
	HintRest  = 5 * time.Second
	hintSlots = 1 << 16
)

// StartRate returns how many hints a second a gateway sends after its start to nodes at so many
// addresses. They are known, so it is as many as it allows handshakes from there.
func StartRate(addresses int) int { return HandshakeRate + min(HandshakeRate, SourceRate*addresses) }

// Hints decides to which addresses a hint may go. The caller locks.
type Hints struct {
	*Shares
	peers buckets[netip.AddrPort]

	// When the last ClientHello came from one of the addresses that share a slot. Each address has
	// two slots, and counts as noted if both are. So the table has a fixed size and forgets no
	// hello, although anybody can forge hellos from any number of addresses. A flood of them only
	// suppresses some hints: one in seven at 3,200 hellos a second.
	seed  maphash.Seed
	since time.Time
	began [hintSlots]time.Duration
}

// NewHints returns the limits of a gateway that starts now.
func NewHints(now time.Time) *Hints {
	return &Hints{Shares: NewShares(HintRate, HintSourceRate, HintSourceBurst),
		peers: newBuckets[netip.AddrPort](HintPeerRate, HintPeerBurst, maxHinted),
		seed:  maphash.MakeSeed(), since: now.Add(-HintRest)}
}

func (h *Hints) slots(at netip.AddrPort) (one, other *time.Duration) {
	sum := maphash.Comparable(h.seed, at)
	return &h.began[sum%hintSlots], &h.began[sum>>32%hintSlots]
}

// NoteHello records that a ClientHello of any kind came from an address: a handshake may be under
// way there, with this gateway or with the one before a restart.
func (h *Hints) NoteHello(at netip.AddrPort, now time.Time) {
	one, other := h.slots(at)
	*one, *other = now.Sub(h.since), now.Sub(h.since)
}

// MayBeInHandshake tells whether a handshake may be under way at an address.
func (h *Hints) MayBeInHandshake(at netip.AddrPort, now time.Time) bool {
	one, other := h.slots(at)
	return now.Sub(h.since)-min(*one, *other) < HintRest
}

// Allow takes a token for one hint.
func (h *Hints) Allow(at netip.AddrPort, known bool, now time.Time) bool {
	p := h.peers.byKey[at]
	if p != nil && !p.AllowN(now, 1) {
		return false
	}
	if s := h.FindBucket(at.Addr(), now); s != nil && !s.AllowN(now, 1) {
		return false
	}
	if !(known && h.Reserved.AllowN(now, 1)) && !h.Total.AllowN(now, 1) {
		return false
	}
	if p != nil {
		return true
	}
	// Only an address that a hint goes to gets a bucket: strangers cannot fill the table faster than
	// hints are sent.
	p = h.peers.find(at, now)
	return p != nil && p.AllowN(now, 1)
}
