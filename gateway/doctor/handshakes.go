package doctor

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"latchkey/coapres/transport"
	"latchkey/gateway/access"
	"latchkey/gateway/audit"
	"latchkey/gateway/limit"
	"latchkey/keys"
)

// Handshakes is what a running gateway remembers of handshakes. Its size is bounded: a new failure
// evicts an old one.
type Handshakes struct {
	Since         time.Time // the start of the record
	Counts        []Count   // one for each cause
	Failures      []Failure // newest first
	Completed     map[keys.ID]time.Time
	Live, MaxLive int // sessions, and how many there may be
}

// Count says how often one cause occurred.
type Count struct {
	Cause Cause     `json:"cause"`
	Count uint64    `json:"count"`
	Last  time.Time `json:"last,omitzero"`
}

// Failure is the failed handshakes of one identity with one cause. If no identity came, they are
// those of one address.
type Failure struct {
	Cause    Cause       `json:"cause" doc:"unknown-identity, revoked, wrong-key, no-common-suite, abandoned, full or malformed"`
	Identity string      `json:"identity,omitempty" doc:"as it was claimed, which proves nothing: what cannot be printed is escaped as in Go, and the rest after 64 bytes left out"`
	Device   audit.Named `json:"device,omitzero" doc:"whose key has that identity"`
	Near     []Near      `json:"near,omitempty" doc:"identities that it may be a slip of; only where a finding says so"`
	Addr     string      `json:"addr" doc:"where the last one came from, which proves nothing either"`
	Count    uint64      `json:"count"`
	First    time.Time   `json:"first"`
	Last     time.Time   `json:"last"`
}

// SecretShown replaces an identity that looks like a secret: somebody has put it into the wrong
// field.
const SecretShown = "[a secret]"

const (
	keepFailures = 256 // of each kind of peer
	maxClaim     = 64  // bytes of a claimed identity that are kept
)

// HandshakeLog remembers handshakes for people, in bounded memory. [NewHandshakeLog] makes one. Its
// methods are safe for concurrent use.
type HandshakeLog struct {
	since time.Time

	mu        sync.Mutex
	counts    map[Cause]*Count      // guarded by mu
	failures  map[string]*recent    // guarded by mu; by kind of peer
	completed map[keys.ID]time.Time // guarded by mu; the last handshake of each key
}

// recent holds the failures of one kind of peer: those with a device's identity, or those of
// strangers with one cause. Failures that a stranger can invent are kept apart, so that they evict
// only each other.
type recent = limit.Recent[failureKey, *Failure]

type failureKey struct {
	who   string // the identity as shown, or the address without its port
	cause Cause
}

const ofDevices = "devices"

// NewHandshakeLog returns an empty log that begins now.
func NewHandshakeLog(now time.Time) *HandshakeLog {
	l := &HandshakeLog{since: now, counts: map[Cause]*Count{}, failures: map[string]*recent{},
		completed: map[keys.ID]time.Time{}}
	for _, c := range Causes {
		l.counts[c] = &Count{Cause: c}
	}
	return l
}

// ShowClaim returns a claimed identity in a form that is safe to show and log: anybody can send
// one.
func ShowClaim(identity string) string {
	if len(identity) == keys.SecretLen {
		if _, err := keys.ParseSecret(strings.ToLower(identity)); err == nil {
			return SecretShown
		}
	}
	rest := ""
	if len(identity) > maxClaim {
		identity, rest = identity[:maxClaim], "…"
	}
	q := strconv.QuoteToASCII(identity)
	return q[1:len(q)-1] + rest
}

// NoteFailure counts and stores a failed handshake. known tells that its identity belongs to a
// device.
func (l *HandshakeLog) NoteFailure(got transport.Failure, cause Cause, known bool, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.counts[cause]
	c.Count++
	c.Last = now
	if cause == CauseBusy {
		return // it says nothing about the peer, whose address may be forged
	}
	key, kind := failureKey{ShowClaim(got.Identity), cause}, string(cause)
	if got.Identity == "" {
		key.who = got.Addr.Addr().String()
	}
	if known {
		kind = ofDevices
	}
	r := l.failures[kind]
	if r == nil {
		r = &recent{Keep: keepFailures}
		l.failures[kind] = r
	}
	f, ok := r.Get(key)
	if !ok {
		f = &Failure{Cause: cause, First: now}
		if got.Identity != "" {
			f.Identity = key.who
		}
	}
	f.Addr, f.Last = got.Addr.String(), now
	f.Count++
	r.Set(key, f, now)
}

// NoteCompleted records that a key has completed a handshake.
func (l *HandshakeLog) NoteCompleted(k keys.ID, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.completed[k] = now
}

// ForgetRemoved forgets keys that the policy no longer has.
func (l *HandshakeLog) ForgetRemoved(p *access.Policy) {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.completed, func(id keys.ID, _ time.Time) bool { _, ok := p.Keys[id]; return !ok })
}

// Count returns how many handshakes failed with that cause.
func (l *HandshakeLog) Count(c Cause) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts[c].Count
}

// Snapshot returns a copy of all that is remembered, without Live and MaxLive.
func (l *HandshakeLog) Snapshot() Handshakes {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := Handshakes{Since: l.since, Completed: maps.Clone(l.completed)}
	for _, c := range Causes {
		h.Counts = append(h.Counts, *l.counts[c])
	}
	for _, r := range l.failures {
		for f := range r.Values() {
			h.Failures = append(h.Failures, *f)
		}
	}
	slices.SortFunc(h.Failures, func(a, b Failure) int {
		return cmp.Or(b.Last.Compare(a.Last), strings.Compare(a.Identity, b.Identity),
			strings.Compare(a.Addr, b.Addr))
	})
	return h
}
