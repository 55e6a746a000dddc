// Package learn passes the next unknown card at a reader to a caller that waits for it, so that a
// card can be added by holding it to the reader. It decides nothing and stores nothing.
package learn

import (
	"context"
	"fmt"
	"sync"

	"latchkey/gateway/access"
)

// Desk knows at which readers somebody waits for a card. The zero value is ready for use. Its
// methods are safe for concurrent use.
type Desk struct {
	mu      sync.Mutex
	waiting map[access.ID]chan Card // guarded by mu
}

// Card is an unknown card.
type Card struct {
	ID   access.CredentialID
	Tail string // of its UID, for people
}

// errLearning refuses a second caller at the same reader: it would take the card of the first.
var errLearning = fmt.Errorf("%w: somebody is already waiting for a card there", access.ErrConflict)

// Wait waits for the next unknown card at a reader until ctx ends. It fails with
// [access.ErrConflict] if somebody is already waiting there.
func (d *Desk) Wait(ctx context.Context, reader access.ID) (Card, error) {
	ch := make(chan Card, 1)
	d.mu.Lock()
	if d.waiting == nil {
		d.waiting = map[access.ID]chan Card{}
	}
	if d.waiting[reader] != nil {
		d.mu.Unlock()
		return Card{}, errLearning
	}
	d.waiting[reader] = ch
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.waiting[reader] == ch { // nobody offered a card
			delete(d.waiting, reader)
		}
	}()
	select {
	case c := <-ch:
		return c, nil
	case <-ctx.Done():
		return Card{}, ctx.Err()
	}
}

// Offer passes an unknown card to the caller that waits at the reader, and tells whether there was
// one.
func (d *Desk) Offer(reader access.ID, card Card) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	ch := d.waiting[reader]
	if ch == nil {
		return false
	}
	delete(d.waiting, reader)
	ch <- card
	return true
}
