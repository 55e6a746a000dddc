package account

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"sync"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/access/accounts"
)

// What can be guessed. Each has shares of its own: who types wrong passwords does not lock the
// second step of who knows the right one.
const (
	wrongPassword = "password"
	wrongCode     = "one-time code"
)

// try is one password or code that is checked.
type try struct {
	what, name string
	taken      []share // where it was taken from
}

// known tells whether it is of somebody who is signed in, or has signed in in this browser before.
func (t try) isKnown() bool { return t.taken[0].kind == forBrowser || t.taken[0].kind == forSignedIn }

// try takes a try for an account, which need not exist. id and nonce are the account's and the
// browser's for it, if it is known here. The error says how long to wait.
func (r *Registry) try(ctx context.Context, what, name string, id access.ID, nonce string) (try, error) {
	var sets [][]share
	if nonce != "" {
		sets = append(sets, []share{shareOf(forBrowser, what, string(id), nonce),
			shareOf(forBrowserLong, what, string(id), nonce)})
	}
	if id != "" && id == PrincipalOf(ctx).Account {
		sets = append(sets, []share{shareOf(forSignedIn, what, string(id))})
	} else {
		sets = append(sets, visitOf(ctx).strangers(what, clip(name)))
	}
	taken, wait := r.tries.begin(sets...)
	if taken == nil {
		return try{}, later(wait, "too many wrong tries.")
	}
	return try{what, name, taken}, nil
}

// strangers are the shares of a browser that has not signed in before. Those on a local network are
// counted apart, so that the others cannot use up their tries. Codes are asked for only after the
// right password, so there the address alone does not count again.
func (v *visit) strangers(what, name string) []share {
	address, around, side := v.from(), v.block(), "outside"
	if v.local {
		side = "local"
	}
	set := []share{shareOf(forPair, what, name, address), shareOf(forPairBlock, what, name, around),
		shareOf(forAccount, what, name, side)}
	if what == wrongPassword {
		set = append(set, shareOf(forAddress, address), shareOf(forBlock, around))
	}
	return set
}

// busyWait is how long somebody waits for whom there is no place.
const busyWait = 5 * time.Second

// tryPassword returns whose password it is, if it is anybody's, and settles the try.
func (r *Registry) tryPassword(ctx context.Context, t try, password string) (a accounts.Account, fits bool,
	err error) {
	v := visitOf(ctx)
	leave := r.places.enter(ctx, t.isKnown(), v.from(), v.block())
	if leave == nil {
		r.tries.giveBack(t.taken)
		return accounts.Account{}, false, later(busyWait, "too many are signing in now.")
	}
	defer leave()
	a, fits, err = r.CheckPassword(ctx, clip(t.name), password)
	return a, fits, r.settle(ctx, t, fits, err)
}

// settle gives a try back that was right, or that could not be checked. Of wrong ones it makes an
// event where they begin to look like guessing.
func (r *Registry) settle(ctx context.Context, t try, right bool, err error) error {
	if right || err != nil {
		r.tries.giveBack(t.taken)
		return err
	}
	if failed := r.guesses.add(t.name, r.now()); failed >= guessesForEvent {
		if taken, _ := r.tries.begin([]share{shareOf(forEvent, t.name), shareOf(forEvents)}); taken != nil {
			r.guesses.forget(t.name)
			_, err := r.RecordSignIn(ctx, clip(t.name), visitOf(ctx).from(), t.what, failed)
			return err
		}
	}
	return nil
}

// later makes a refusal of whoever has to wait.
func later(wait time.Duration, why string) error {
	return &Refusal{Status: http.StatusTooManyRequests, Type: TypeWait, Wait: wait,
		Detail: fmt.Sprintf("%s Wait %s, then try again", why, roughly(wait))}
}

// roughly is a time in words, rounded up.
func roughly(d time.Duration) string {
	if minutes := int(math.Ceil(d.Minutes())); d > 2*time.Minute {
		return fmt.Sprint(minutes, " minutes")
	}
	return fmt.Sprint(int(math.Ceil(d.Seconds())), " seconds")
}

// guessesForEvent is how many wrong passwords and codes in a row look like guessing.
const guessesForEvent = 5

// guesses counts what was wrong for a name since it was right, since the last event about it, or
// for a day.
type guesses struct {
	mu sync.Mutex
	of map[uint64]guess // guarded by mu
}

type guess struct {
	n    int
	last time.Time
}

func (g *guesses) add(name string, now time.Time) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.of == nil {
		g.of = map[uint64]guess{}
	}
	key := shareOf(forEvent, name).key
	was, ok := g.of[key]
	if now.Sub(was.last) > 24*time.Hour {
		was.n = 0
	}
	if !ok && len(g.of) >= maxDebts {
		for other := range g.of { // any one of them
			delete(g.of, other)
			break
		}
	}
	g.of[key] = guess{was.n + 1, now}
	return was.n + 1
}

func (g *guesses) forget(name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.of, shareOf(forEvent, name).key)
}
