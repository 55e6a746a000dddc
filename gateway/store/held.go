package store

import (
	"errors"
	"fmt"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/access/edit"
)

// maxHeld is how many restrictions act in memory at most.
const maxHeld = 10_000

// heldChange is a restriction that is in effect but not durable yet.
type heldChange struct {
	actor   string
	changes []access.Change
	at      time.Time
}

// holdChange puts a restriction into effect in memory. It becomes durable, with its event, as soon
// as there is space. If it is in effect the error wraps [edit.ErrNotDurable].
func (b *batch) holdChange(actor string, changes []access.Change) error {
	w := b.w
	if !w.s.opts.Hold || len(w.held) >= maxHeld {
		return w.space.err()
	}
	next, err := w.s.Snapshot().With(changes...)
	if err != nil {
		return fmt.Errorf("store: apply: %w", err)
	}
	w.held = append(w.held, heldChange{actor, changes, w.s.opts.Now()})
	now := *w.s.now.Load()
	now.policy = next
	w.s.now.Store(&now)
	w.s.newPolicy.ring()
	return fmt.Errorf("store: %w", edit.ErrNotDurable)
}

// keepHeld makes held restrictions durable if there is space, each in a commit of its own.
func (w *writer) keepHeld() {
	for len(w.held) > 0 && !w.space.none && w.s.Failed() == nil {
		h := w.held[0]
		b := w.newBatch()
		_, err := b.apply(h.actor, h.changes, h.at)
		if errors.Is(err, ErrNoSpace) {
			return
		}
		if err != nil { // nothing else has changed meanwhile, so it still fits the policy
			w.s.log.Error("restriction not kept", "actor", h.actor, "err", err)
		}
		w.held = w.held[1:]
		w.finishBatch(b)
	}
}

// Held returns how many restrictions act in memory only.
func (s *Store) Held() int { return int(s.held.Load()) }
