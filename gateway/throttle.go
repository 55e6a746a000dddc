package gateway

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"latchkey/gateway/access"
)

const (
	unknownCards  = 10 // unknown cards at one reader
	unknownWindow = time.Minute
	unknownPause  = 10 * time.Second // between scans of a slowed reader

	noisePause = 10 * time.Second // between events of a device that does nothing but come and go
	noiseBurst = 30
)

// noise bounds the events that a device makes by coming and going: whoever holds one key could fill the disk with them. The zero value is
// ready for use.
type noise struct {
	mu      sync.Mutex
	devices map[access.ID]*coming // guarded by mu
}

type coming struct {
	events *rate.Limiter
	missed int // since the last event
}

// allow tells whether a device may make an event now, and how many were left out since its last.
func (n *noise) allow(device access.ID, now time.Time) (missed int, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.devices == nil {
		n.devices = map[access.ID]*coming{}
	}
	c := n.devices[device]
	if c == nil {
		c = &coming{events: rate.NewLimiter(rate.Every(noisePause), noiseBurst)}
		n.devices[device] = c
	}
	if !c.events.AllowN(now, 1) {
		c.missed++
		return 0, false
	}
	missed, c.missed = c.missed, 0
	return missed, true
}

// throttle slows a reader at which many unknown cards are tried. The zero value is ready for use.
type throttle struct {
	mu      sync.Mutex
	readers map[access.ID]*unknowns // guarded by mu
}

type unknowns struct {
	seen [unknownCards]time.Time // the last unknown cards, a ring
	next int
	slow time.Time // slowed until then
	free time.Time // the next scan of a slowed reader
}

// wait returns how long the reader has to wait, 0 if its scan may be decided now.
func (t *throttle) wait(reader access.ID, now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	u := t.readers[reader]
	if u == nil || !now.Before(u.slow) {
		return 0
	}
	if now.Before(u.free) {
		return u.free.Sub(now)
	}
	u.free = now.Add(unknownPause)
	return 0
}

// note counts an unknown card and tells whether the reader is slowed from now on and was not before.
func (t *throttle) note(reader access.ID, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.readers == nil {
		t.readers = map[access.ID]*unknowns{}
	}
	u := t.readers[reader]
	if u == nil {
		u = &unknowns{}
		t.readers[reader] = u
	}
	u.seen[u.next] = now
	u.next = (u.next + 1) % unknownCards
	oldest := u.seen[u.next] // zero while fewer than ten were seen
	slowed := now.Before(u.slow)
	if !slowed && (oldest.IsZero() || now.Sub(oldest) > unknownWindow) {
		return false
	}
	u.slow = now.Add(unknownWindow)
	if !slowed {
		u.free = now.Add(unknownPause)
	}
	return !slowed
}

// learners are those who wait for the next unknown card at a reader. The zero value is ready for use.
type learners struct {
	mu      sync.Mutex
	waiting map[access.ID]chan learned // guarded by mu
}

type learned struct {
	card access.CredentialID
	tail string
}

// errLearning refuses a second one at the same reader: it would take the card of the first.
var errLearning = fmt.Errorf("%w: somebody is already waiting for a card there", access.ErrConflict)

// wait waits for the next unknown card at a reader until ctx ends.
func (l *learners) wait(ctx context.Context, reader access.ID) (learned, error) {
	ch := make(chan learned, 1)
	l.mu.Lock()
	if l.waiting == nil {
		l.waiting = map[access.ID]chan learned{}
	}
	if l.waiting[reader] != nil {
		l.mu.Unlock()
		return learned{}, errLearning
	}
	l.waiting[reader] = ch
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.waiting[reader] == ch { // nobody offered a card
			delete(l.waiting, reader)
		}
	}()
	select {
	case c := <-ch:
		return c, nil
	case <-ctx.Done():
		return learned{}, ctx.Err()
	}
}

// offer gives an unknown card to whoever waits for it and tells whether somebody did.
func (l *learners) offer(reader access.ID, card access.CredentialID, tail string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	ch := l.waiting[reader]
	if ch == nil {
		return false
	}
	delete(l.waiting, reader)
	ch <- learned{card, tail}
	return true
}
