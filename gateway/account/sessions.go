package account

import (
	"context"
	"crypto/sha256"
	"maps"
	"math"
	"net/http"
	"sync"
	"time"

	"github.com/alexedwards/scs/v2"

	"latchkey/gateway/access"
	"latchkey/gateway/access/accounts"
)

// How long somebody stays signed in: at most, and without a visit.
const (
	signedInFor = 7 * 24 * time.Hour
	idleFor     = 24 * time.Hour
	seenEvery   = time.Hour // how exactly the last visit is kept: each time is a write to disk
)

// pendingFor is how long a right password waits for its second step: longer than somebody who typed
// wrong codes has to wait.
const pendingFor = 2 * longestWait

// How long a second step, or a password given again, is fresh.
const (
	secondFresh  = 2 * time.Minute
	confirmFresh = 15 * time.Minute
)

// What a sign-in keeps. Times are Unix seconds.
const (
	sessionAccount   = "account"   // id of the account that is signed in
	sessionEpoch     = "epoch"     // the account's, when it signed in
	sessionSeen      = "seen"      // the last visit, to the hour
	sessionConfirmed = "confirmed" // when a password or a second step was last given
	sessionSecond    = "second"    // when a second step was last given
	sessionPending   = "pending"   // id of the account whose password was right, and which owes a second step
	sessionPendingAt = "pendingAt"
)

// SessionCookie is the cookie of a sign-in. A browser takes such a name only over TLS, from this
// host, for all of it.
const SessionCookie = "__Host-latchkey"

// newSessions is not made by scs.New, which starts a goroutine that nobody ends.
func newSessions(cfg Config) *scs.SessionManager {
	s := &scs.SessionManager{
		Store:    signIns{cfg.Website.SignIns},
		Lifetime: signedInFor,
		Codec:    &decodedOnce{of: map[[sha256.Size]byte]decoded{}},
		Cookie: scs.SessionCookie{Name: SessionCookie, Path: "/", HttpOnly: true, Secure: true,
			SameSite: http.SameSiteStrictMode, Persist: true},
	}
	s.ErrorFunc = func(w http.ResponseWriter, r *http.Request, err error) {
		if r.Context().Err() != nil {
			return // nobody is there to read an answer
		}
		cfg.Log.Error("sign-in not kept", "err", err)
		writeProblem(w, http.StatusServiceUnavailable, TypeNotKept,
			"who is signed in can be neither read nor kept now: the gateway's log says why")
	}
	return s
}

// signIns is what scs keeps, under the hash of the cookie: who reads the store cannot make a cookie
// of it.
type signIns struct{ kept SignIns }

func (s signIns) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	return s.kept.SignIn(ctx, sha256.Sum256([]byte(token)))
}

func (s signIns) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) error {
	return s.kept.PutSignIn(ctx, sha256.Sum256([]byte(token)), b, expiry)
}

func (s signIns) DeleteCtx(ctx context.Context, token string) error {
	return s.kept.DeleteSignIn(ctx, sha256.Sum256([]byte(token)))
}

// The same without a context, for which scs asks and which it does not call.

func (s signIns) Find(token string) ([]byte, bool, error) {
	return s.FindCtx(context.Background(), token)
}

func (s signIns) Commit(token string, b []byte, expiry time.Time) error {
	return s.CommitCtx(context.Background(), token, b, expiry)
}

func (s signIns) Delete(token string) error { return s.DeleteCtx(context.Background(), token) }

// decodedOnce is scs's own format of sign-ins, which is slow to decode: each call of the API that a
// page makes reads the same one. What is remembered is found by the hash of what was read, so it is
// never older than the store.
type decodedOnce struct {
	scs.GobCodec

	mu sync.Mutex
	of map[[sha256.Size]byte]decoded // guarded by mu
}

type decoded struct {
	deadline time.Time
	values   map[string]any
}

// maxDecoded bounds what is remembered, in 1 MB or so.
const maxDecoded = 1024

func (c *decodedOnce) Decode(b []byte) (deadline time.Time, values map[string]any, err error) {
	key := sha256.Sum256(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	d, ok := c.of[key]
	if !ok {
		if d.deadline, d.values, err = c.GobCodec.Decode(b); err != nil {
			return time.Time{}, nil, err
		}
		if len(c.of) >= maxDecoded {
			clear(c.of)
		}
		c.of[key] = d
	}
	return d.deadline, maps.Clone(d.values), nil
}

// session is the principal of a visit's sign-in: nobody, if nobody has signed in or the sign-in is
// over.
func (r *Registry) session(ctx context.Context) Principal {
	a := r.signedIn(ctx)
	if a.ID == "" {
		return Principal{}
	}
	return Principal{Kind: Session, Account: a.ID, Name: a.Name, Role: a.Role, Fresh: r.freshness(ctx, a)}
}

// signedIn is the account of the sign-in that the context holds, zero if there is none. A sign-in
// is over when its account is gone, disabled or in another epoch, and after a time without a visit.
func (r *Registry) signedIn(ctx context.Context) accounts.Account {
	id := r.sessions.GetString(ctx, sessionAccount)
	if id == "" {
		return accounts.Account{}
	}
	a, ok := r.account(access.ID(id))
	if !ok || a.Epoch != uint64(r.sessions.GetInt64(ctx, sessionEpoch)) ||
		r.since(ctx, sessionSeen) > idleFor {
		return accounts.Account{}
	}
	return a
}

// Recognise notes that the visitor was here, and ends a sign-in that is over. It returns the
// account that has signed in, zero if none has, and whether the visitor is on a local network.
func (r *Registry) Recognise(ctx context.Context) (a accounts.Account, local bool, err error) {
	v := visitOf(ctx)
	if v == nil || r.sessions.GetString(ctx, sessionAccount) == "" {
		return accounts.Account{}, v != nil && v.local, nil
	}
	a = r.signedIn(ctx)
	if a.ID == "" {
		return a, v.local, r.sessions.Destroy(ctx)
	}
	if r.since(ctx, sessionSeen) > seenEvery {
		r.remember(ctx, sessionSeen)
	}
	return a, v.local, nil
}

// Pending is the account whose password a visitor gave a moment ago, and that owes a second step;
// zero if there is none.
func (r *Registry) Pending(ctx context.Context) accounts.Account {
	if visitOf(ctx) == nil {
		return accounts.Account{}
	}
	id := r.sessions.GetString(ctx, sessionPending)
	if id == "" || r.since(ctx, sessionPendingAt) > pendingFor {
		return accounts.Account{}
	}
	a, ok := r.account(access.ID(id))
	if !ok {
		return accounts.Account{}
	}
	return a
}

// freshness is how sure it is that it is still the person who signed in. On a local network their
// word is taken for it.
func (r *Registry) freshness(ctx context.Context, a accounts.Account) Freshness {
	has := a.SecondStep()
	switch {
	case visitOf(ctx).local, has && r.since(ctx, sessionSecond) < secondFresh:
		return Second
	case has && r.since(ctx, sessionSecond) < confirmFresh,
		!has && r.since(ctx, sessionConfirmed) < confirmFresh:
		return Confirmed
	}
	return Stale
}

// since is how long ago something happened that the sign-in remembers. What lies ahead by more than
// a clock is corrected by is too long ago for anything: a machine that starts with a clock of last
// week makes no step fresh.
func (r *Registry) since(ctx context.Context, what string) time.Duration {
	d := r.now().Sub(time.Unix(r.sessions.GetInt64(ctx, what), 0))
	if d < -time.Minute {
		return math.MaxInt64
	}
	return d
}

func (r *Registry) remember(ctx context.Context, what string) {
	r.sessions.Put(ctx, what, r.now().Unix())
}

// SignOut ends the sign-in of the visitor's browser.
func (r *Registry) SignOut(ctx context.Context) error {
	if visitOf(ctx) == nil {
		return errNoVisit
	}
	return r.sessions.Destroy(ctx)
}

// Renew keeps a visitor's browser signed in when all others of its account were signed out. It
// shows nothing of who is there: what was confirmed stays as old as it was. On anybody else's
// account it does nothing.
func (r *Registry) Renew(ctx context.Context, id access.ID) error {
	if !r.isVisitor(ctx, id) {
		return nil
	}
	a, ok := r.account(id)
	if !ok {
		return nil
	}
	if err := r.sessions.RenewToken(ctx); err != nil {
		return err
	}
	r.sessions.Put(ctx, sessionEpoch, int64(a.Epoch))
	return nil
}

// StepAdded goes on as if the new step of an account had been given: to make it, it was. On anybody
// else's account it does nothing.
func (r *Registry) StepAdded(ctx context.Context, id access.ID) {
	if r.isVisitor(ctx, id) {
		r.remember(ctx, sessionSecond)
		r.remember(ctx, sessionConfirmed)
	}
}

// isVisitor tells whether a request is a visitor's who has signed in with the account.
func (r *Registry) isVisitor(ctx context.Context, id access.ID) bool {
	p := PrincipalOf(ctx)
	return visitOf(ctx) != nil && p.Kind == Session && p.Account == id
}
