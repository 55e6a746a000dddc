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

// What can be guessed. Each has shares of its own, so somebody who types wrong passwords cannot
// lock the second step for a person who knows the right password.
const (
	wrongPassword = "password"
	wrongCode     = "one-time code"
)

// try is one check of a password or a code.
type try struct {
	what, name string
	taken      []share // where it was taken from
}

// known tells whether the try comes from somebody who is signed in, or from a browser in which the
// account has signed in before.
func (t try) isKnown() bool { return t.taken[0].kind == forBrowser || t.taken[0].kind == forSignedIn }

// try takes a try for an account, which need not exist. If the account has signed in with this
// browser before, id is the account's and nonce is the browser's for it. The error says how long to
// wait.
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

// strangers returns the shares of a browser that has not signed in before. Strangers on a local
// network are counted apart, so that the others cannot use up their tries. A code is asked for only
// after the right password, so codes have no share for the address alone.
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

// busyWait is how long a visitor waits when all places for checking passwords are taken.
const busyWait = 5 * time.Second

// tryPassword returns the account of that name if the password is right, and settles the try.
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

// settle gives a try back if it was right, or if it could not be checked. When wrong tries begin to
// look like guessing, it records an event.
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

// later makes the refusal for a visitor who has to wait.
func later(wait time.Duration, why string) error {
	return &Refusal{Status: http.StatusTooManyRequests, Type: TypeWait, Wait: wait,
		Detail: fmt.Sprintf("%s Wait %s, then try again", why, roughly(wait))}
}

// roughly writes a duration in words, rounded up.
func roughly(d time.Duration) string {
	if minutes := int(math.Ceil(d.Minutes())); d > 2*time.Minute {
		return fmt.Sprint(minutes, " minutes")
	}
	return fmt.Sprint(int(math.Ceil(d.Seconds())), " seconds")
}

// guessesForEvent is how many wrong passwords and codes in a row look like guessing.
const guessesForEvent = 5

// guesses counts the wrong tries for a name. The count starts again after a right one, after an
// event about the name, and after a day.
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
