package account

import (
	"container/heap"
	"hash/maphash"
	"strings"
	"sync"
	"time"
)

// tries bounds how often passwords and codes can be guessed. It is in memory only, so a restart
// clears it.
//
// A try is taken from shares. A share holds a number of tries, and one comes back about every
// quarter of an hour. A try is taken before the check, so that many at once gain nothing. It is
// given back if the answer was right, so somebody who knows the password spends nothing. A refused
// try takes nothing and stores nothing, so an attacker can fill the memory only at the price of one
// password check for each entry.
//
// A stranger's try is taken from four shares: that of the account and the address, that of the
// account and the block around that address, that of all strangers for the account, and that of the
// address for all accounts. A browser that has signed in before has a share of its own, which no
// stranger can use up.
type tries struct {
	now func() time.Time

	mu     sync.Mutex
	shares [len(limits)]ledger // guarded by mu
}

// share is what a try is taken from.
type share struct {
	kind shareKind
	key  uint64
}

type shareKind int

const (
	forPair        shareKind = iota // strangers at one address, for one account
	forPairBlock                    // strangers in one block of addresses, for one account
	forAccount                      // all strangers, for one account
	forAddress                      // strangers at one address, for all accounts
	forBlock                        // strangers in one block of addresses, for all accounts
	forBrowser                      // a browser in which the account has signed in before
	forBrowserLong                  // the same over days: a stolen cookie must not allow guessing for ever
	forSignedIn                     // everybody who is signed in with one account
	forEvent                        // events about one name
	forEvents                       // events about all names
)

// longestWait is how long it takes until one person has a try again. The wait for a second step is
// longer than that.
const longestWait = 15 * time.Minute

// limits says how many tries a share holds, and how fast they come back. An attacker with three
// blocks of addresses who never rests takes 60 tries at once and 12 an hour, which leaves a part of
// forAccount. An attacker with more blocks can keep out every browser that has not signed in
// before.
var limits = [...]allowance{
	forPair:        {burst: 10, every: longestWait},
	forPairBlock:   {burst: 20, every: longestWait},
	forAccount:     {burst: 100, every: 5 * time.Minute},
	forAddress:     {burst: 30, every: longestWait},
	forBlock:       {burst: 100, every: 5 * time.Minute},
	forBrowser:     {burst: 10, every: longestWait},
	forBrowserLong: {burst: 40, every: 6 * time.Hour},
	forSignedIn:    {burst: 10, every: longestWait},
	forEvent:       {burst: 1, every: longestWait},
	forEvents:      {burst: 20, every: 5 * time.Minute},
}

type allowance struct {
	burst int
	every time.Duration
}

// maxDebts bounds the entries of one kind of share, which take about 1 MB.
const maxDebts = 1 << 14

var triesSeed = maphash.MakeSeed()

// shareOf returns the share that the parts name.
func shareOf(kind shareKind, parts ...string) share {
	return share{kind, maphash.String(triesSeed, strings.Join(parts, "\x00"))}
}

// begin takes a try from every share of one set: the first set that has a try left in each share.
// If there is none, it returns how long to wait.
func (t *tries) begin(sets ...[]share) (taken []share, wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	for i, set := range sets {
		var need time.Duration
		for _, s := range set {
			need = max(need, t.shares[s.kind].wait(s.key, limits[s.kind], now))
		}
		if need <= 0 {
			for _, s := range set {
				t.shares[s.kind].take(s.key, limits[s.kind], now)
			}
			return set, 0
		}
		if i == 0 || need < wait {
			wait = need
		}
	}
	return nil, wait
}

// giveBack returns one right try to its shares. Wrong tries of others at the same address, or for
// the same account, still count.
func (t *tries) giveBack(taken []share) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range taken {
		t.shares[s.kind].giveBack(s.key, limits[s.kind])
	}
}

// ledger counts the tries that were taken from shares of one kind. When it is full it drops the
// entry with the fewest, so that an attacker cannot clear a lock-out by trying many other names or
// addresses.
type ledger struct {
	of    map[uint64]*debt
	least debts
}

// debt is a token bucket stored as one time (GCRA): the time at which all tries have come back.
type debt struct {
	key  uint64
	paid time.Time
	at   int // in the heap
}

func (l *ledger) wait(key uint64, lim allowance, now time.Time) time.Duration {
	d := l.of[key]
	if d == nil {
		return 0
	}
	return d.paid.Sub(now) - time.Duration(lim.burst-1)*lim.every
}

func (l *ledger) take(key uint64, lim allowance, now time.Time) {
	for len(l.least) > 0 && !l.least[0].paid.After(now) {
		l.drop()
	}
	d := l.of[key]
	if d == nil {
		if len(l.of) >= maxDebts {
			l.drop()
		}
		if l.of == nil {
			l.of = map[uint64]*debt{}
		}
		d = &debt{key: key, paid: now}
		l.of[key] = d
		heap.Push(&l.least, d)
	}
	d.paid = d.paid.Add(lim.every)
	heap.Fix(&l.least, d.at)
}

func (l *ledger) giveBack(key uint64, lim allowance) {
	if d := l.of[key]; d != nil {
		d.paid = d.paid.Add(-lim.every)
		heap.Fix(&l.least, d.at)
	}
}

// drop removes the entry with the fewest taken tries.
func (l *ledger) drop() { delete(l.of, heap.Pop(&l.least).(*debt).key) }

// debts is a heap for [container/heap], ordered by the time at which all tries have come back.
type debts []*debt

func (h debts) Len() int           { return len(h) }
func (h debts) Less(i, j int) bool { return h[i].paid.Before(h[j].paid) }
func (h debts) Swap(i, j int)      { h[i], h[j] = h[j], h[i]; h[i].at, h[j].at = i, j }

func (h *debts) Push(x any) {
	d := x.(*debt)
	d.at = len(*h)
	*h = append(*h, d)
}

func (h *debts) Pop() any {
	last := len(*h) - 1
	d := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return d
}
