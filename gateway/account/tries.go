package account

import (
	"container/heap"
	"hash/maphash"
	"strings"
	"sync"
	"time"
)

// tries bounds how often passwords and codes can be guessed. It is in memory: a restart forgets it.
//
// A try is taken from shares: so many at once, and one comes back each quarter of an hour or so. It
// is taken before the check, so that many at once gain nothing, and given back if the answer was
// right: who knows the password spends nothing. A refused try takes nothing and remembers nothing,
// so only who pays with a check of a password fills the memory.
//
// A stranger's try is taken from the share of the account and the address, of the account and the
// block around that address, of all strangers for that account, and of the address for all
// accounts. A browser that has signed in before has a share of its own, which no stranger can use
// up.
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
	forAddress                      // strangers at one address, for whatever account
	forBlock                        // strangers in one block of addresses, for whatever account
	forBrowser                      // a browser in which the account has signed in before
	forBrowserLong                  // the same over days: a stolen cookie is not good for guessing for ever
	forSignedIn                     // whoever is signed in with one account
	forEvent                        // events about one name
	forEvents                       // events about all names
)

// longestWait is how long a try takes to come back to what one person may use. The second step
// waits longer.
const longestWait = 15 * time.Minute

// limits says how many tries a share holds, and how fast they come back. Three blocks of addresses
// that never rest take 60 tries at once and 12 an hour, so they leave something of forAccount; who
// attacks from more keeps every browser out that is new.
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

// maxDebts bounds what one kind of share remembers, in 1 MB or so.
const maxDebts = 1 << 14

var triesSeed = maphash.MakeSeed()

// shareOf is the share of whatever the parts name.
func shareOf(kind shareKind, parts ...string) share {
	return share{kind, maphash.String(triesSeed, strings.Join(parts, "\x00"))}
}

// begin takes a try from all shares of the first set that has one in each. If no set has, it tells
// how long to wait for one.
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

// giveBack returns a try that was right, and only that: what others owe at the same address, or for
// the same account, they go on owing.
func (t *tries) giveBack(taken []share) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range taken {
		t.shares[s.kind].giveBack(s.key, limits[s.kind])
	}
}

// ledger is who owes tries in one kind of share. Where it is full it forgets who owes least, so
// that nobody who is locked out can be pushed out of memory by names or addresses that were tried
// less.
type ledger struct {
	of    map[uint64]*debt
	least debts
}

// debt is a token bucket as one time (GCRA): when all tries have come back.
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

// drop forgets who owes least.
func (l *ledger) drop() { delete(l.of, heap.Pop(&l.least).(*debt).key) }

// debts is a heap of [container/heap] by when they are paid.
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
