package console

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/admin"
)

// What can be guessed. Each has shares of its own: who types wrong passwords does not lock the second step of who knows the right one.
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
func (t try) known() bool { return t.taken[0].kind == forBrowser || t.taken[0].kind == forSignedIn }

// try takes a try for an account, which need not exist. id and nonce are the account's and the browser's for it, if it is known here. The
// error says how long to wait.
func (v *visit) try(what, name string, id access.ID, nonce string) (try, error) {
	var sets [][]share
	if nonce != "" {
		sets = append(sets, []share{shareOf(forBrowser, what, string(id), nonce), shareOf(forBrowserLong, what, string(id), nonce)})
	}
	if id != "" && id == v.account.ID {
		sets = append(sets, []share{shareOf(forSignedIn, what, string(id))})
	} else {
		sets = append(sets, v.strangers(what, clip(name)))
	}
	taken, wait := v.tries.begin(sets...)
	if taken == nil {
		return try{}, v.later(wait, "Too many wrong tries.")
	}
	return try{what, name, taken}, nil
}

// strangers are the shares of a browser that has not signed in before. Those on a local network are counted apart, so that the others
// cannot use up their tries. Codes are asked for only after the right password, so there the address alone does not count again.
func (v *visit) strangers(what, name string) []share {
	address, around, side := from(v.r), block(v.r), "outside"
	if v.local {
		side = "local"
	}
	set := []share{shareOf(forPair, what, name, address), shareOf(forPairBlock, what, name, around), shareOf(forAccount, what, name, side)}
	if what == wrongPassword {
		set = append(set, shareOf(forAddress, address), shareOf(forBlock, around))
	}
	return set
}

// busyWait is how long somebody waits for whom there is no place.
const busyWait = 5 * time.Second

// checkPassword returns whose password it is, zero if nobody's, and settles the try.
func (v *visit) checkPassword(t try, password string) (admin.Account, error) {
	leave := v.places.enter(v.r.Context(), t.known(), from(v.r), block(v.r))
	if leave == nil {
		v.tries.giveBack(t.taken)
		return admin.Account{}, v.later(busyWait, "Too many are signing in now.")
	}
	defer leave()
	var got fits
	err := v.callItself(http.MethodPost, "/v1/accounts/check-password", map[string]string{"name": clip(t.name), "password": password}, &got)
	return got.Account, v.settle(t, got.Fits, err)
}

// settle gives a try back that was right, or that could not be checked. Of wrong ones it makes an event where they begin to look like guessing.
func (v *visit) settle(t try, right bool, err error) error {
	if right || err != nil {
		v.tries.giveBack(t.taken)
		return err
	}
	if failed := v.guesses.add(t.name, v.cfg.Now()); failed >= guessesForEvent {
		if taken, _ := v.tries.begin([]share{shareOf(forEvent, t.name), shareOf(forEvents)}); taken != nil {
			v.guesses.forget(t.name)
			return v.note(t.name, t.what, failed)
		}
	}
	return nil
}

// later makes a refusal of whoever has to wait.
func (v *visit) later(wait time.Duration, why string) error {
	v.wait = wait
	v.w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	return problem{Status: http.StatusTooManyRequests, Detail: fmt.Sprintf("%s Wait %s, then try again.", why, roughly(wait))}
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

// guesses counts what was wrong for a name since it was right, since the last event about it, or for a day.
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
