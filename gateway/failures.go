package gateway

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"latchkey/coapres/transport"
	"latchkey/gateway/access"
	"latchkey/gateway/admin"
	"latchkey/keys"
)

const (
	keepFailures = 256 // of each kind of peer
	maxClaim     = 64  // bytes of a claimed identity that are kept
)

// failures remembers handshakes that did not complete, for people, in memory and bounded. [newFailures] makes one.
type failures struct {
	since time.Time

	mu        sync.Mutex
	counts    map[admin.Cause]*admin.Count // guarded by mu
	kinds     map[string]recent            // guarded by mu
	completed map[keys.ID]time.Time        // guarded by mu; the last handshake of each key that is there
}

// recent is what is remembered of one kind of peer: those with a device's identity, and of the others those that failed for one cause. What
// anybody can make up is kept apart, so that it pushes out nothing but its like.
type recent map[failureKey]*admin.Failure

type failureKey struct {
	who   string // the identity as it is shown, or the address without its port
	cause admin.Cause
}

const ofDevices = "devices"

func newFailures(now time.Time) *failures {
	f := &failures{since: now, counts: map[admin.Cause]*admin.Count{}, kinds: map[string]recent{}, completed: map[keys.ID]time.Time{}}
	for _, c := range admin.Causes {
		f.counts[c] = &admin.Count{Cause: c}
	}
	return f
}

// failed takes notice of a handshake that did not complete.
func (g *Gateway) failed(f transport.Failure, now time.Time) {
	p := g.store.Snapshot()
	k, known := p.Keys[keys.ID(f.Identity)]
	cause := causeOf(f.Cause, k, known)
	g.failures.note(f, cause, known, now)
	g.log.Debug("handshake failed", "addr", f.Addr.String(), "identity", claimed(f.Identity), "reason", string(cause))
	if cause != admin.CauseFull {
		return
	}
	if _, ok := g.full.Allow(struct{}{}, now); !ok {
		return
	}
	ev := access.Event{Kind: access.EventFull, Detail: fmt.Sprintf("refused: the limit of live sessions is reached (%d)", g.cfg.MaxSessions)}
	if known {
		id := k.Device
		ev.Device = access.Named{ID: id, Name: p.Devices[id].Name}
	}
	g.log.Error("no room for a session: start with a higher --max-sessions", "device", ev.Device.Name, "max", g.cfg.MaxSessions)
	g.background(func() { g.feed.Note(ev) })
}

// causeOf tells what the wire must not: which of the three it was when a key was not proven. k is the key of the claimed identity.
func causeOf(c transport.Cause, k keys.Key, known bool) admin.Cause {
	switch c {
	case transport.CauseKey:
		switch {
		case !known:
			return admin.CauseUnknownIdentity
		case !k.State.Usable():
			return admin.CauseRevoked
		}
		return admin.CauseWrongKey
	case transport.CauseSuite:
		return admin.CauseNoCommonSuite
	case transport.CauseAbandoned:
		return admin.CauseAbandoned
	case transport.CauseBusy:
		return admin.CauseBusy
	case transport.CauseFull:
		return admin.CauseFull
	}
	return admin.CauseMalformed
}

// claimed is an identity as it may be shown: it came from anybody.
func claimed(identity string) string {
	if len(identity) == keys.SecretLen {
		if _, err := keys.ParseSecret(strings.ToLower(identity)); err == nil {
			return admin.SecretShown
		}
	}
	rest := ""
	if len(identity) > maxClaim {
		identity, rest = identity[:maxClaim], "…"
	}
	q := strconv.QuoteToASCII(identity)
	return q[1:len(q)-1] + rest
}

// note counts a failure and keeps it. known: its identity is a device's.
func (f *failures) note(got transport.Failure, cause admin.Cause, known bool, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.counts[cause]
	c.Count++
	c.Last = now
	if cause == admin.CauseBusy {
		return // it says nothing about the peer, whose address may be made up
	}
	key, kind := failureKey{claimed(got.Identity), cause}, string(cause)
	if got.Identity == "" {
		key.who = got.Addr.Addr().String()
	}
	if known {
		kind = ofDevices
	}
	r := f.kinds[kind]
	if r == nil {
		r = recent{}
		f.kinds[kind] = r
	}
	e := r[key]
	if e == nil {
		r.makeRoom()
		e = &admin.Failure{Cause: cause, First: now}
		if got.Identity != "" {
			e.Identity = key.who
		}
		r[key] = e
	}
	e.Addr, e.Last = got.Addr.String(), now
	e.Count++
}

// makeRoom drops the one that was longest ago, if there are as many as may be.
func (r recent) makeRoom() {
	if len(r) < keepFailures {
		return
	}
	var oldest failureKey
	var last time.Time
	for k, e := range r {
		if last.IsZero() || e.Last.Before(last) {
			oldest, last = k, e.Last
		}
	}
	delete(r, oldest)
}

// over notes that a key has completed a handshake.
func (f *failures) over(k keys.ID, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.completed[k] = now
}

// keep forgets the keys that are not in p any more.
func (f *failures) keep(p *access.Policy) {
	f.mu.Lock()
	defer f.mu.Unlock()
	maps.DeleteFunc(f.completed, func(id keys.ID, _ time.Time) bool { _, ok := p.Keys[id]; return !ok })
}

func (f *failures) count(c admin.Cause) uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counts[c].Count
}

// all returns a copy of what is remembered.
func (f *failures) all() admin.Handshakes {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := admin.Handshakes{Since: f.since, Completed: maps.Clone(f.completed)}
	for _, c := range admin.Causes {
		h.Counts = append(h.Counts, *f.counts[c])
	}
	for _, r := range f.kinds {
		for _, e := range r {
			h.Failures = append(h.Failures, *e)
		}
	}
	slices.SortFunc(h.Failures, func(a, b admin.Failure) int {
		return cmp.Or(b.Last.Compare(a.Last), strings.Compare(a.Identity, b.Identity), strings.Compare(a.Addr, b.Addr))
	})
	return h
}
