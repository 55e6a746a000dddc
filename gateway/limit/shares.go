// Package limit bounds what others can use up. For servers on a TCP or unix socket, a [Listener]
// bounds connections, and a handler of [NewHandler] bounds requests, bytes and time. Both do so in
// all and for each address and account, so that nobody uses up what others need. For anything with
// a key, [Every] bounds how often it happens, [Slowdown] slows it down when it happens too often,
// and [Recent] keeps the newest values. [Gate] and [Turns] let callers go one after the other. The
// package knows no pages, accounts or devices, and grants nobody anything: its caller says who
// makes a request.
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

// Claim asks for N of What from the share of Of, which may hold Most at one time. An empty Of is
// the share of all together.
type Claim struct {
	What, Of string
	N, Most  int64
}

// String names the share, for a refusal.
func (c Claim) String() string {
	if c.Of == "" {
		return fmt.Sprintf("%s: %d in all", c.What, c.Most)
	}
	return fmt.Sprintf("%s: %d for %s", c.What, c.Most, c.Of)
}

// Take takes all claims or none. It returns a function that gives them back, to be called once. If
// a share has no room it returns nil and that claim.
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
