package gateway

import (
	"context"
	"fmt"
	"sync"

	"latchkey/gateway/access"
)

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
