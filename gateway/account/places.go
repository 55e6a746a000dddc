package account

import (
	"context"
	"sync"

	"latchkey/gateway/limit"
)

// places bounds how many passwords are checked at once, since each check takes 19 MB and much of a
// small machine: one at a time for strangers, and one at a time for people who are signed in or
// have signed in with this browser before. However many strangers come, a known person need not
// wait for them. One stranger cannot keep the others waiting either: only a few may wait from one
// address at a time, and from the block around it.
type places struct {
	strangers, known limit.Gate // one at a time each

	mu      sync.Mutex
	waiting map[string]int // guarded by mu; by address and by block, and all under ""
}

// How many may wait or be checked at once.
const (
	waitingOfAddress = 2
	waitingOfBlock   = 4
	waitingStrangers = 32
	waitingKnown     = 8
)

func newPlaces() places {
	return places{strangers: limit.NewGate(1), known: limit.NewGate(1), waiting: map[string]int{}}
}

// enter waits for a place, and returns the function that leaves it again. It returns nil if too
// many wait already, or if ctx ends.
func (p *places) enter(ctx context.Context, known bool, address, block string) (leave func()) {
	room, most := p.strangers, map[string]int{"": waitingStrangers, "address " + address: waitingOfAddress,
		"block " + block: waitingOfBlock}
	if known {
		room, most = p.known, map[string]int{"known": waitingKnown}
	}
	if !p.queue(most) {
		return nil
	}
	if room.Enter(ctx) != nil {
		p.unqueue(most)
		return nil
	}
	return func() { room.Leave(); p.unqueue(most) }
}

func (p *places) queue(most map[string]int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for who, n := range most {
		if p.waiting[who] >= n {
			return false
		}
	}
	for who := range most {
		p.waiting[who]++
	}
	return true
}

func (p *places) unqueue(most map[string]int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for who := range most {
		if p.waiting[who]--; p.waiting[who] == 0 {
			delete(p.waiting, who)
		}
	}
}
