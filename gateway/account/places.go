package account

import (
	"context"
	"sync"

	"latchkey/gateway/limit"
)

// places is where passwords are checked: one at a time for strangers and one for whoever is signed
// in or has signed in in this browser before, since each takes 19 MB and much of a small machine.
// So strangers, however many, keep nobody waiting who is known, and none of them keeps the others
// waiting: of one address only so many wait at a time, and of the block around it.
type places struct {
	strangers, known limit.Gate // one at a time each

	mu      sync.Mutex
	waiting map[string]int // guarded by mu; by address and by block, and all under ""
}

// How many wait, or are being checked, at once.
const (
	waitingOfAddress = 2
	waitingOfBlock   = 4
	waitingStrangers = 32
	waitingKnown     = 8
)

func newPlaces() places {
	return places{strangers: limit.NewGate(1), known: limit.NewGate(1), waiting: map[string]int{}}
}

// enter waits for a place, and returns what leaves it again; nil if too many wait already, or if
// ctx ends.
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
