package coapres

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"latchkey/keys"
)

// RequestRate is how many requests per second one association may make on average. Twice as many
// may come at once.
const RequestRate = 10

// Peer holds what belongs to one association. Its exported fields are set once, before the first
// request.
type Peer struct {
	Device keys.RecordID
	Name   string
	Kind   keys.Kind
	Key    keys.ID
	Addr   string // for people
	Caller Caller
	// Refused, if set, is called with each request that either side refused. It must not block.
	Refused func(Refusal)

	Issued Echoes // ours, which the node must return
	Held   Held   // the node's, which we must return

	budget *rate.Limiter
	words  *rate.Limiter

	mu           sync.Mutex
	registration string        // guarded by mu; the segment after /rd/, empty when not registered
	lifetime     time.Duration // guarded by mu; of the registration, as last asked for
	maxPulse     time.Duration // guarded by mu; see MaxPulse
	knowsEpoch   bool          // guarded by mu; see KnowsEpoch
}

// NewPeer returns the state of a new association of that device.
func NewPeer(device keys.RecordID, name string, kind keys.Kind, key keys.ID, addr string, c Caller) *Peer {
	return &Peer{Device: device, Name: name, Kind: kind, Key: key, Addr: addr, Caller: c,
		budget: rate.NewLimiter(RequestRate, 2*RequestRate), words: rate.NewLimiter(1, 1)}
}

// Allow sets the peer's request rate. Call it before the first request.
func (p *Peer) Allow(perSecond int) { p.budget = rate.NewLimiter(rate.Limit(perSecond), 2*perSecond) }

// MaxPulse returns the longest unlock that the node can hold, as it said when it registered, or 0
// if it did not say.
func (p *Peer) MaxPulse() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.maxPulse
}

// KnowsEpoch tells whether the node said, when it registered, that it takes commands with an epoch.
func (p *Peer) KnowsEpoch() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.knowsEpoch
}

// spendRequest takes one request from the peer's budget.
func (p *Peer) spendRequest(now time.Time) bool { return p.budget.AllowN(now, 1) }

// mayLog tells whether a line about this peer may be logged now: at most one a second.
func (p *Peer) mayLog() bool { return p.words.Allow() }
