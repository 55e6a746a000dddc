package console

import (
	"context"
	"crypto/sha256"
	"math"
	"net/http"
	"time"

	"github.com/alexedwards/scs/v2"

	"latchkey/gateway/admin"
)

// How long somebody stays signed in: at most, and without a visit.
const (
	signedInFor = 7 * 24 * time.Hour
	idleFor     = 24 * time.Hour
	seenEvery   = time.Hour // how exactly the last visit is kept: each time is a write to disk
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
	sessionNote      = "note"   // what the next page says
	sessionNoteAt    = "noteAt" // on which card; on none: above all
)

func newSessions(cfg Config) *scs.SessionManager {
	s := scs.New()
	s.Store = signIns{cfg.SignIns}
	s.Lifetime = signedInFor
	s.Cookie.Name = "__Host-latchkey" // a browser takes such a name only over TLS, from this host, for all of it
	s.Cookie.HttpOnly = true
	s.Cookie.Secure = true
	s.Cookie.SameSite = http.SameSiteStrictMode
	s.Cookie.Path = "/"
	s.ErrorFunc = func(w http.ResponseWriter, r *http.Request, err error) {
		if r.Context().Err() != nil {
			return // nobody is there to read an answer
		}
		cfg.Log.Error("console sign-in not kept", "err", err)
		refuse(w, http.StatusServiceUnavailable, "It cannot be read or kept now who is signed in. The gateway's log says why.")
	}
	return s
}

// signIns is what scs keeps, under the hash of the cookie: who reads the store cannot make a cookie of it.
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

// recognise finds who is signed in, and ends a sign-in that is over.
func (v *visit) recognise() error {
	if v.sessions.GetString(v.r.Context(), sessionAccount) == "" {
		return nil
	}
	account, err := v.signedInAs()
	if err != nil {
		return err
	}
	if account.ID == "" {
		return v.sessions.Destroy(v.r.Context())
	}
	if v.since(sessionSeen) > seenEvery {
		v.remember(sessionSeen)
	}
	v.account = account
	return nil
}

// signedInAs is the account of the sign-in that the request's context holds, zero if there is none. A sign-in is over when its account is gone,
// disabled or in another epoch, and after a time without a visit.
func (v *visit) signedInAs() (admin.Account, error) {
	ctx := v.r.Context()
	id := v.sessions.GetString(ctx, sessionAccount)
	if id == "" {
		return admin.Account{}, nil
	}
	account, err := v.accountOf(id)
	if account.Disabled || account.Epoch != uint64(v.sessions.GetInt64(ctx, sessionEpoch)) || v.since(sessionSeen) > idleFor {
		return admin.Account{}, err
	}
	return account, err
}

// since is how long ago something happened that the sign-in remembers. What lies ahead by more than a clock is corrected by is too long ago for
// anything: a machine that starts with a clock of last week makes no step fresh.
func (v *visit) since(what string) time.Duration {
	d := v.cfg.Now().Sub(time.Unix(v.sessions.GetInt64(v.r.Context(), what), 0))
	if d < -time.Minute {
		return math.MaxInt64
	}
	return d
}

func (v *visit) remember(what string) {
	v.sessions.Put(v.r.Context(), what, v.cfg.Now().Unix())
}
