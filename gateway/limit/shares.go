// Package limit bounds what is spent on those who ask for it. For servers on a TCP or unix socket a
// [Listener] bounds connections and a [Handler] requests, bytes and time, in all and for each
// address and account, so that nobody uses up what others need. For whatever has a key, [Every]
// bounds how often something happens, [Slowdown] slows down after too much of it, [Recent] keeps
// the newest of it, and [Gate] and [Turns] let callers go one after the other. It knows no pages,
// accounts or devices: its user says who asks. It grants nobody anything.
package limit

import (
	"fmt"
	"sync"
)

// Shares counts what is under way. The zero value is ready. Its methods are safe for concurrent
// use.
type Shares struct {
	mu   sync.Mutex
	held map[share]int64 // guarded by mu; without those that are zero
}

type share struct{ what, of string }

// Claim asks for N of What from the share of Of, which may hold Most at a time. Empty Of: that of
// all together.
type Claim struct {
	What, Of string
	N, Most  int64
}

// String names the share, for whoever is refused.
func (c Claim) String() string {
	if c.Of == "" {
		return fmt.Sprintf("%s: %d in all", c.What, c.Most)
	}
	return fmt.Sprintf("%s: %d for %s", c.What, c.Most, c.Of)
}

// Take takes all that is claimed, or nothing. It returns what gives it back, to be called once; or
// the share that has no room, and no function.
func (s *Shares) Take(claims ...Claim) (release func(), full Claim) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held == nil {
		s.held = map[share]int64{}
	}
	for _, c := range claims {
		if s.held[share{c.What, c.Of}] > c.Most-c.N {
			return nil, c
		}
	}
	for _, c := range claims {
		s.add(c, c.N)
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, c := range claims {
			s.add(c, -c.N)
		}
	}, Claim{}
}

// add changes what is held. The caller holds mu.
func (s *Shares) add(c Claim, n int64) {
	key := share{c.What, c.Of}
	if s.held[key] += n; s.held[key] == 0 {
		delete(s.held, key)
	}
}
