package limit

import (
	"context"
	"sync"
)

// Gate lets in a number of callers at one time; with 1, one after the other. [NewGate] makes one.
type Gate chan struct{}

// NewGate returns a gate for most callers at one time.
func NewGate(most int) Gate { return make(Gate, most) }

// Enter waits until there is room, or until ctx ends. After entering, call Leave once.
func (g Gate) Enter(ctx context.Context) error {
	select {
	case g <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Leave makes room for the next caller.
func (g Gate) Leave() { <-g }

// Turns lets callers that want the same key go one after the other. The zero value is ready for
// use. Its methods are safe for concurrent use.
type Turns[K comparable] struct {
	mu     sync.Mutex
	places map[K]*place[K] // guarded by mu; only places that are in use
	free   []*place[K]     // guarded by mu; at most keepPlaces that are not, for the next keys
}

// keepPlaces is how many unused places are kept.
const keepPlaces = 64

// place is held by one caller at a time.
type place[K comparable] struct {
	key   K
	gate  Gate
	users int // callers that hold it or wait for it; guarded by Turns.mu
}

// Turn holds the places of one or two keys for one caller.
type Turn[K comparable] struct {
	turns *Turns[K]
	held  [2]*place[K]
	n     int
}

// Take waits until nobody else holds the place of the first or the second key. A zero key has no
// place. Always name keys of the same kind first: if one caller names a key first and another names
// it second, the two can deadlock. On an error, which is that of ctx, Take holds nothing.
func (t *Turns[K]) Take(ctx context.Context, first, second K) (Turn[K], error) {
	var none K
	got := Turn[K]{turns: t}
	for _, key := range [...]K{first, second} {
		if key == none {
			continue
		}
		p := t.join(key)
		if err := p.gate.Enter(ctx); err != nil {
			t.leave(p)
			got.End()
			return Turn[K]{}, err
		}
		got.held[got.n] = p
		got.n++
	}
	return got, nil
}

// End releases the places. Twice is harmless.
func (t *Turn[K]) End() {
	for ; t.n > 0; t.n-- {
		p := t.held[t.n-1]
		p.gate.Leave()
		t.turns.leave(p)
	}
}

func (t *Turns[K]) join(key K) *place[K] {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.places == nil {
		t.places = map[K]*place[K]{}
	}
	p := t.places[key]
	if p == nil {
		if n := len(t.free); n > 0 {
			p, t.free = t.free[n-1], t.free[:n-1]
			p.key = key
		} else {
			p = &place[K]{key: key, gate: NewGate(1)}
		}
		t.places[key] = p
	}
	p.users++
	return p
}

func (t *Turns[K]) leave(p *place[K]) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p.users--; p.users > 0 {
		return
	}
	delete(t.places, p.key)
	if len(t.free) < keepPlaces {
		t.free = append(t.free, p)
	}
}
