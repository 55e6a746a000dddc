package account

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// clock is a clock that a test moves.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func newTries() (*tries, *clock) {
	c := &clock{time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)}
	return &tries{now: c.now}, c
}

// takeAll takes tries from one share until none is left. It returns how many there were and how
// long one must wait for the next.
func (t *tries) takeAll(s share) (n int, wait time.Duration) {
	for ; ; n++ {
		taken, wait := t.begin([]share{s})
		if taken == nil {
			return n, wait
		}
	}
}

func TestShares(t *testing.T) {
	for kind, lim := range limits {
		tr, c := newTries()
		s := shareOf(shareKind(kind), "ada")
		if n, wait := tr.takeAll(s); n != lim.burst || wait != lim.every {
			t.Errorf("kind %d: got %d tries, then a wait of %v, want %d and %v", kind, n, wait, lim.burst,
				lim.every)
		}
		if n, _ := tr.takeAll(shareOf(shareKind(kind), "bob")); n != lim.burst {
			t.Errorf("kind %d: somebody else: got %d tries, want %d", kind, n, lim.burst)
		}
		for range 1000 { // refused tries do not make the wait longer
			tr.begin([]share{s})
		}
		c.at = c.at.Add(lim.every - 1)
		if n, wait := tr.takeAll(s); n != 0 || wait != 1 {
			t.Errorf("kind %d: 1ns too early: got %d tries and a wait of %v, want none, and 1ns", kind, n,
				wait)
		}
		c.at = c.at.Add(1)
		if n, _ := tr.takeAll(s); n != 1 {
			t.Errorf("kind %d: after the wait: got %d tries, want 1", kind, n)
		}
		c.at = c.at.Add(time.Duration(2*lim.burst) * lim.every)
		if n, _ := tr.takeAll(s); n != lim.burst {
			t.Errorf("kind %d: long after: got %d tries, want %d and no more", kind, n, lim.burst)
		}
	}
}

// A successful try is given back, but no other one.
func TestSuccessUsesUpNoTry(t *testing.T) {
	tr, _ := newTries()
	set := []share{shareOf(forPair, "ada", "192.0.2.1"), shareOf(forAddress, "192.0.2.1")}
	other := []share{shareOf(forPair, "bob", "192.0.2.1"), shareOf(forAddress, "192.0.2.1")}
	for range 7 {
		tr.begin(other)
	}
	for range 100 {
		taken, wait := tr.begin(set)
		if taken == nil {
			t.Fatalf("got a wait of %v, want none", wait)
		}
		tr.giveBack(taken)
	}
	if n, _ := tr.takeAll(shareOf(forAddress, "192.0.2.1")); n != limits[forAddress].burst-7 {
		t.Errorf("got %d tries left at the address, want %d, since a success gives no tries back to "+
			"others", n,
			limits[forAddress].burst-7)
	}
	tr.giveBack([]share{shareOf(forPair, "nobody")}) // as if it had been forgotten meanwhile
}

// A try is taken from the first set that has one. If none has one, the wait is that of the set that
// has one first, and no set loses anything.
func TestSetsAreTriedInOrder(t *testing.T) {
	tr, c := newTries()
	browser, strangers := shareOf(forBrowser, "x"), shareOf(forAccount, "ada")
	for i := range limits[forBrowser].burst {
		if taken, _ := tr.begin([]share{browser}, []share{strangers}); taken == nil || taken[0] != browser {
			t.Fatalf("try %d: got %v, want the browser's", i, taken)
		}
	}
	if taken, _ := tr.begin([]share{browser}, []share{strangers}); taken == nil || taken[0] != strangers {
		t.Fatalf("got %v, want a stranger's", taken)
	}
	tr.takeAll(strangers)
	if taken, wait := tr.begin([]share{browser}, []share{strangers}); taken != nil ||
		wait != limits[forAccount].every {
		t.Errorf("got %v and a wait of %v, want none, and the shorter wait", taken, wait)
	}
	c.at = c.at.Add(limits[forBrowser].every)
	pair := shareOf(forPair, "ada", "192.0.2.1")
	tr.takeAll(pair)
	if taken, _ := tr.begin([]share{strangers, pair}); taken != nil {
		t.Fatal("a set gave a try although one of its shares has none")
	}
	if n, _ := tr.takeAll(strangers); n != 3 {
		t.Errorf("got %d tries left, want 3, since a refused try takes nothing", n)
	}
}

// A share without tries is not evicted by shares that were used less, however many there are: an
// IPv6 /48 has 65,536 networks.
func TestRememberedTriesAreBounded(t *testing.T) {
	tr, c := newTries()
	locked := shareOf(forAccount, "ada")
	tr.takeAll(locked)
	for i := range 4 * maxDebts {
		tr.begin([]share{shareOf(forAccount, fmt.Sprint("name ", i))})
		tr.begin([]share{shareOf(forPair, fmt.Sprint("name ", i))})
		tr.begin([]share{locked, shareOf(forAddress, fmt.Sprint("address ", i))})
		c.at = c.at.Add(time.Microsecond)
	}
	for kind, l := range tr.shares {
		if len(l.of) > maxDebts || len(l.of) != len(l.least) {
			t.Errorf("kind %d: got %d remembered and %d in order, want %d at most", kind, len(l.of),
				len(l.least), maxDebts)
		}
	}
	if n := len(tr.shares[forAddress].of); n != 0 {
		t.Errorf("got %d addresses remembered, want none, since a refused try is not remembered", n)
	}
	if taken, _ := tr.begin([]share{locked}); taken != nil {
		t.Error("the name without tries got one")
	}
	if n, _ := tr.takeAll(shareOf(forAccount,
		fmt.Sprint("name ", 4*maxDebts-1))); n != limits[forAccount].burst-1 {
		t.Errorf("the newest: got %d tries, want %d, since a new share counts even if there is no room "+
			"for it", n,
			limits[forAccount].burst-1)
	}
	c.at = c.at.Add(24 * time.Hour)
	tr.begin([]share{locked})
	if n := len(tr.shares[forAccount].of); n != 1 {
		t.Errorf("got %d names remembered a day later, want 1, since shares with all tries are forgotten", n)
	}
}

func TestGuessesAreCountedUntilTheyAreOld(t *testing.T) {
	var g guesses
	at := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	for i := range 3 {
		if n := g.add("ada", at); n != i+1 {
			t.Errorf("got %d, want %d", n, i+1)
		}
	}
	if n := g.add("bob", at); n != 1 {
		t.Errorf("another: got %d, want 1", n)
	}
	if n := g.add("ada", at.Add(25*time.Hour)); n != 1 {
		t.Errorf("a day later: got %d, want 1", n)
	}
	g.add("ada", at.Add(25*time.Hour))
	g.forget("ada")
	if n := g.add("ada", at.Add(25*time.Hour)); n != 1 {
		t.Errorf("forgotten: got %d, want 1", n)
	}
	for i := range 2 * maxDebts {
		g.add(fmt.Sprint(i), at)
	}
	if len(g.of) != maxDebts {
		t.Errorf("got %d names, want %d", len(g.of), maxDebts)
	}
}

// Strangers wait for other strangers, and known visitors do not. The number that may wait is
// limited for each address and each block.
func TestPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlaces()
		var leaves []func()
		in := func(known bool, address, block string) chan func() {
			got := make(chan func(), 1)
			go func() { got <- p.enter(t.Context(), known, address, block) }()
			synctest.Wait()
			return got
		}
		state := func(got chan func()) string {
			synctest.Wait()
			select {
			case leave := <-got:
				if leave == nil {
					return "refused"
				}
				leaves = append(leaves, leave)
				return "in"
			default:
				return "waits"
			}
		}
		check := func(what, want string, got chan func()) chan func() {
			t.Helper()
			if s := state(got); s != want {
				t.Errorf("%s: got %s, want %s", what, s, want)
			}
			return got
		}
		check("the first stranger", "in", in(false, "a1", "a"))
		second := check("a second of the same address", "waits", in(false, "a1", "a"))
		check("a third", "refused", in(false, "a1", "a"))
		check("another address of the block", "waits", in(false, "a2", "a"))
		check("the second of that address", "waits", in(false, "a2", "a"))
		check("the fifth of the block", "refused", in(false, "a3", "a"))
		check("a known visitor at the same address", "in", in(true, "a1", "a"))
		leaves[0]()
		check("the one who has waited longest, after the first has left", "in", second)
		for i := range waitingStrangers - 3 {
			check("one of many others", "waits", in(false, fmt.Sprint("b", i), fmt.Sprint("b", i)))
		}
		check("one too many", "refused", in(false, "c", "c"))
		leaves[1]()
		check("a known visitor while many wait", "in", in(true, "c", "c"))
		for len(leaves) > 3 {
			leaves = leaves[:len(leaves)-1]
		}
	})
}

// A stolen browser cookie gives a limited number of tries a day, and over months even fewer.
func TestStolenCookieGivesFewTries(t *testing.T) {
	tr, c := newTries()
	set := []share{shareOf(forBrowser, "x"), shareOf(forBrowserLong, "x")}
	n := 0
	for start := c.at; c.at.Before(start.Add(100 * 24 * time.Hour)); c.at = c.at.Add(time.Minute) {
		if taken, _ := tr.begin(set); taken != nil {
			n++
		}
	}
	if want := 40 + 100*4; n > want || n < want-2 {
		t.Errorf("got %d tries in 100 days, want %d", n, want)
	}
}

// For two days an attacker takes every possible try each minute, for passwords and for codes.
// siege_test.go of the console does the same through the pages, with passkeys and real checks of
// passwords, for a shorter time.
func TestTwoDaysOfGuessing(t *testing.T) {
	for _, tt := range []struct {
		name  string
		from  func(i int) string
		fresh bool // a new browser always gets in
		most  int  // passwords guessed
	}{
		{"from one address", func(int) string { return "203.0.113.9:1" }, true, 10 + 48*4},
		{"from a /24", func(i int) string { return fmt.Sprintf("203.0.113.%d:1", i%256) }, true, 20 + 48*4},
		{"from three blocks", func(i int) string { return fmt.Sprintf("203.0.%d.%d:1", i%3, i/3%256) }, true,
			3 * (20 + 48*4)},
		{"from a /48", func(i int) string { return fmt.Sprintf("[2001:db8:bad:%x::1]:1", i%65536) }, true,
			20 + 48*4},
		{"from 1,000 addresses", func(i int) string { return fmt.Sprintf("100.64.%d.9:1", i%1000/4) }, false,
			100 + 48*12},
		{"from everywhere", func(i int) string {
			return fmt.Sprintf("%d.%d.%d.9:1", 1+i>>16&127, i>>8&255, i&255)
		}, false, 100 + 48*12},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := &clock{time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)}
			c := &Registry{now: now.now, tries: tries{now: now.now}}
			at := func(addr string) context.Context {
				return context.WithValue(t.Context(), visitKey{},
					&visit{addr: netip.MustParseAddrPort(addr).Addr()})
			}
			// signIn makes that many wrong tries and then a right one, at both steps.
			signIn := func(addr, nonce string, wrong int) bool {
				for _, what := range []string{wrongPassword, wrongCode} {
					for range wrong {
						_, _ = c.try(at(addr), what, "owner", "owner", nonce)
					}
					got, err := c.try(at(addr), what, "owner", "owner", nonce)
					if err != nil {
						return false
					}
					c.tries.giveBack(got.taken)
				}
				return true
			}
			guessed, visits, fresh := 0, 0, 0
			for i, n := 0, 0; i < 48*60; i++ {
				for refused := 0; refused < 4; n++ { // the attacker goes on to the next address
					got, err := c.try(at(tt.from(n)), wrongPassword, "owner", "", "")
					if _, other := c.try(at(tt.from(n)), wrongCode, "owner", "", ""); err != nil &&
						other != nil {
						refused++
					} else if err == nil && got.taken != nil {
						guessed++
					}
				}
				now.at = now.at.Add(time.Minute)
				if i%(3*60) != 0 {
					continue
				}
				visits++
				// the nonce is new at each sign-in
				if !signIn("192.0.2.7:1", fmt.Sprint("nonce ", visits), 2) {
					t.Errorf("visit %d from a browser used before: refused", visits)
				}
				if signIn("198.51.100.7:1", "", 0) {
					fresh++
				}
			}
			t.Logf("%d guesses; of %d visits from a new browser, %d got in", guessed, visits, fresh)
			if tt.fresh && fresh != visits {
				t.Errorf("of %d visits from a new browser, %d got in, want all", visits, fresh)
			}
			if guessed > tt.most+1 {
				t.Errorf("got %d guesses, want %d at most", guessed, tt.most)
			}
		})
	}
}
