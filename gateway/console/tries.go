package console

import (
	"sync"
	"time"
)

// How many wrong passwords and codes are forgiven, and what more of them cost.
const (
	freeForName = 5
	freeForAddr = 20
	firstWait   = 15 * time.Second // doubled with each further one
	longestWait = 15 * time.Minute // short enough that nobody can keep an owner out for a day
	forgetAfter = 24 * time.Hour
	maxTries    = 4096 // names and addresses that are remembered
)

// tries slows down who guesses passwords and codes, by account and by address, in memory. A try counts when it begins, so that many at once
// gain nothing. Names count whether there is such an account or not.
type tries struct {
	now func() time.Time

	mu sync.Mutex
	of map[string]*try // guarded by mu; by "name " or "addr " and what it is
}

type try struct {
	count int
	last  time.Time
	until time.Time
}

// begin counts a try, or says how long to wait before the next.
func (t *tries) begin(name, addr string) (wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	both := []*try{t.get("name "+clip(name), now), t.get("addr "+addr, now)}
	for _, e := range both {
		wait = max(wait, e.until.Sub(now))
	}
	if wait > 0 {
		return wait
	}
	for i, free := range []int{freeForName, freeForAddr} {
		e := both[i]
		e.count++
		e.last = now
		if over := e.count - free; over >= 0 {
			e.until = now.Add(min(firstWait<<min(over, 10), longestWait))
		}
	}
	return 0
}

// locked tells after how many tries the name has just been locked, 0 if it has not.
func (t *tries) locked(name, addr string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.of["name "+clip(name)]; e != nil && e.until.After(t.now()) {
		return e.count
	}
	return 0
}

// done forgets the tries of somebody who was right.
func (t *tries) done(name, addr string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.of, "name "+clip(name))
	delete(t.of, "addr "+addr)
}

// get returns an entry, a new one in the place of the one that is least missed. The caller holds mu.
func (t *tries) get(key string, now time.Time) *try {
	if t.of == nil {
		t.of = map[string]*try{}
	}
	if e := t.of[key]; e != nil && now.Sub(e.last) < forgetAfter {
		return e
	}
	if len(t.of) >= maxTries {
		oldest := ""
		for k, e := range t.of {
			if oldest == "" || e.last.Before(t.of[oldest].last) {
				oldest = k
			}
		}
		delete(t.of, oldest)
	}
	e := &try{}
	t.of[key] = e
	return e
}
