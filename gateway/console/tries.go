package console

import (
	"hash/maphash"
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
	// maxTries names and addresses are remembered, in 5 MB. Who pushes one out to guess anew has paid for that many hashes.
	maxTries = 1 << 16
)

// tries slows down who guesses passwords and codes, by account and by address, in memory. A try counts when it begins, so that many at once
// gain nothing. Names count whether there is such an account or not.
type tries struct {
	now func() time.Time

	mu sync.Mutex
	of map[uint64]*try // guarded by mu; by the hash of what it is
}

var triesSeed = maphash.MakeSeed()

func nameKey(name string) uint64 { return maphash.String(triesSeed, "name "+name) }
func addrKey(addr string) uint64 { return maphash.String(triesSeed, "addr "+addr) }

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
	both := []*try{t.get(nameKey(name), now), t.get(addrKey(addr), now)}
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
	if e := t.of[nameKey(name)]; e != nil && e.until.After(t.now()) {
		return e.count
	}
	return 0
}

// done forgets the tries of somebody who was right.
func (t *tries) done(name, addr string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.of, nameKey(name))
	delete(t.of, addrKey(addr))
}

// get returns an entry, a new one in the place of the oldest. The caller holds mu.
func (t *tries) get(key uint64, now time.Time) *try {
	if t.of == nil {
		t.of = map[uint64]*try{}
	}
	if e := t.of[key]; e != nil && now.Sub(e.last) < forgetAfter {
		return e
	}
	if len(t.of) >= maxTries {
		var oldest uint64
		for k, e := range t.of {
			if o := t.of[oldest]; o == nil || e.last.Before(o.last) {
				oldest = k
			}
		}
		delete(t.of, oldest)
	}
	e := &try{last: now}
	t.of[key] = e
	return e
}
