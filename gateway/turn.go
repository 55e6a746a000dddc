package gateway

import (
	"context"
	"sync"

	"latchkey/gateway/access"
)

// turns lets the attempts of one device go one after the other, and those at one target as well. The zero value is ready
// for use.
type turns struct {
	mu     sync.Mutex
	places map[access.ID]*place // guarded by mu; only those that somebody holds or waits for
}

// place is held by one attempt at a time.
type place struct {
	id    access.ID
	token chan struct{} // full while somebody holds the place
	users int           // who hold it or wait; guarded by turns.mu
}

// turn is what one attempt holds: the place of its device and that of its target.
type turn struct {
	turns *turns
	held  [2]*place
	n     int
}

// take waits until no other attempt holds the place of the device or that of the target; an empty id has none. Everybody
// waits for the device first, so that no two wait for each other. The error is that of ctx, and nothing is held then.
func (t *turns) take(ctx context.Context, device, target access.ID) (turn, error) {
	got := turn{turns: t}
	for _, id := range [...]access.ID{device, target} {
		if id == "" {
			continue
		}
		p := t.join(id)
		select {
		case p.token <- struct{}{}:
			got.held[got.n] = p
			got.n++
		case <-ctx.Done():
			t.leave(p)
			got.end()
			return turn{}, ctx.Err()
		}
	}
	return got, nil
}

// end gives the places back. Twice is harmless.
func (t *turn) end() {
	for ; t.n > 0; t.n-- {
		p := t.held[t.n-1]
		<-p.token
		t.turns.leave(p)
	}
}

func (t *turns) join(id access.ID) *place {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.places == nil {
		t.places = map[access.ID]*place{}
	}
	p := t.places[id]
	if p == nil {
		p = &place{id: id, token: make(chan struct{}, 1)}
		t.places[id] = p
	}
	p.users++
	return p
}

func (t *turns) leave(p *place) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p.users--; p.users == 0 {
		delete(t.places, p.id)
	}
}
