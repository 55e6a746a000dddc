// Package limit bounds what a server on a TCP or unix socket spends on those who connect to it: connections, requests under way, bytes of bodies, and
// time. A [Listener] bounds connections and a [Handler] requests, in all and for each address and account, so that nobody uses up what others
// need. It knows no pages and no accounts: its user says who makes a request, and whose share it takes follows from that. It grants nobody anything.
package limit

import (
	"fmt"
	"sync"
)

// Shares counts what is under way. The zero value is ready. Its methods are safe for concurrent use.
type Shares struct {
	mu   sync.Mutex
	held map[share]int64 // guarded by mu; without those that are zero
}

type share struct{ what, of string }

// Claim asks for N of What from the share of Of, which may hold Most at a time. Empty Of: that of all together.
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

// Take takes all that is claimed, or nothing. It returns what gives it back, to be called once; or the share that has no room, and no function.
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
