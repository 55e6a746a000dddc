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

// How long somebody stays signed in: in all, and without a visit.
const (
	signedInFor = 7 * 24 * time.Hour
	idleFor     = 24 * time.Hour
	seenEvery   = time.Hour // the last visit is stored this often, since each time is a write to disk
)

// pendingFor is how long we wait for the second step after a right password. It is longer than the
// wait after wrong codes.
const pendingFor = 2 * longestWait

// How long a second step, or a repeated password, is fresh.
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

// SessionCookie is the cookie of a sign-in. A browser accepts a name that begins with __Host- only
// over TLS, from this host, and for all its paths.
const SessionCookie = "__Host-latchkey"

// newSessions does not call scs.New, which starts a goroutine that nobody ends.
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
			return // nobody is left to read an answer
		}
		cfg.Log.Error("sign-in not kept", "err", err)
		writeProblem(w, http.StatusServiceUnavailable, TypeNotKept,
			"sign-ins can be neither read nor stored now: the gateway's log says why")
	}
	return s
}

// signIns stores the sessions of scs under the hash of the cookie, so that nobody who reads the
// store learns a cookie.
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

// The same without a context. The interface of scs requires them, but scs does not call them.

func (s signIns) Find(token string) ([]byte, bool, error) {
	return s.FindCtx(context.Background(), token)
}

func (s signIns) Commit(token string, b []byte, expiry time.Time) error {
	return s.CommitCtx(context.Background(), token, b, expiry)
}

func (s signIns) Delete(token string) error { return s.DeleteCtx(context.Background(), token) }

// decodedOnce is a cache in front of scs's own format of sign-ins, which is slow to decode: each
// API call of a page reads the same one. An entry is found by the hash of the stored bytes, so it
// is never older than the store.
type decodedOnce struct {
	scs.GobCodec

	mu sync.Mutex
	of map[[sha256.Size]byte]decoded // guarded by mu
}

type decoded struct {
	deadline time.Time
	values   map[string]any
}

// maxDecoded bounds the entries, which take about 1 MB.
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

// session returns the principal of a visit's sign-in: nobody, if nobody has signed in or the
// sign-in has ended.
func (r *Registry) session(ctx context.Context) Principal {
	a := r.signedIn(ctx)
	if a.ID == "" {
		return Principal{}
	}
	return Principal{Kind: Session, Account: a.ID, Name: a.Name, Role: a.Role, Fresh: r.freshness(ctx, a)}
}

// signedIn returns the account of the sign-in that the context holds, zero if there is none. A
// sign-in ends when its account is removed, disabled or in another epoch, and after a time without
// a visit.
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

// Recognise records that the visitor was here, and removes a sign-in that has ended. It returns the
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

// Pending returns the account for which the visitor gave the right password a moment ago, and whose
// second step is still due; zero if there is none.
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

// freshness says how sure we are that the visitor is still the person who signed in. On a local
// network we trust that they are.
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

// since returns how long ago a stored time was. A time in the future, by more than a small
// correction of the clock, counts as very long ago: a machine that starts with a clock of last week
// must make no step fresh.
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

// Renew keeps a visitor's browser signed in when all other browsers of its account were signed out.
// It proves nothing about the person, so the last confirmation stays as old as it was. For anybody
// else's account it does nothing.
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

// StepAdded treats the new second step of an account as given, because adding it included a use of
// it. For anybody else's account it does nothing.
func (r *Registry) StepAdded(ctx context.Context, id access.ID) {
	if r.isVisitor(ctx, id) {
		r.remember(ctx, sessionSecond)
		r.remember(ctx, sessionConfirmed)
	}
}

// isVisitor tells whether the request comes from a visitor who has signed in with the account.
func (r *Registry) isVisitor(ctx context.Context, id access.ID) bool {
	p := PrincipalOf(ctx)
	return visitOf(ctx) != nil && p.Kind == Session && p.Account == id
}
