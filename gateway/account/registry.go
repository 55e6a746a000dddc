package account

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/alexedwards/scs/v2"

	"latchkey/gateway/access"
	"latchkey/gateway/access/accounts"
	"latchkey/gateway/audit"
	"latchkey/gateway/limit"
)

// SignIns keeps what a browser's cookie stands for, under the SHA-256 of the cookie.
type SignIns interface {
	SignIn(ctx context.Context, id [32]byte) (data []byte, ok bool, err error)
	PutSignIn(ctx context.Context, id [32]byte, data []byte, expiry time.Time) error
	DeleteSignIn(ctx context.Context, id [32]byte) error
}

// Website is what is known of the website whose visitors sign in. The zero Website has no visitors.
type Website struct {
	SignIns SignIns // where it is kept who has signed in; nil: nobody can

	// Hosts are the names, without port, that the website answers to; *.NAME stands for all right
	// below it. Passkeys are for these alone. Empty: every name.
	Hosts []string
	// Local are the networks whose people open doors without a second step. Loopback is not among
	// them unless it is named: behind a reverse proxy everybody comes from there.
	Local []netip.Prefix
	// BrowserKey signs what a browser keeps in which somebody has signed in. If it is empty there
	// is one until the program ends.
	BrowserKey []byte
	// Peer tells the address at the other end of the visitor's connection. nil: it is what the
	// website says, see [Describe].
	Peer func(*http.Request) (addr netip.AddrPort, ok bool)

	Now func() time.Time // of sign-ins; that of the configuration if nil
}

// Config says what a registry works on. All but ClockTrusted, Log and Now are required.
type Config struct {
	Policy func() *access.Policy
	// Edit changes an account in place, durably. It fails with [access.ErrNotFound] if there is
	// none.
	Edit func(ctx context.Context, actor string, id access.ID, set func(*accounts.Account) error) error
	// Record chains an event.
	Record func(ctx context.Context, ev audit.Event) (audit.Event, error)
	// ClockTrusted tells whether wall time can be relied on. nil: it can.
	ClockTrusted func(now time.Time) bool

	Website Website
	Log     *slog.Logger     // nothing is logged if nil
	Now     func() time.Time // time.Now if nil
}

// Registry checks who signs in, and knows who has. A gateway has one: it remembers what must not be
// tried too often, and what may be used once only.
type Registry struct {
	cfg        Config
	now        func() time.Time
	sessions   *scs.SessionManager
	passwords  hasher
	codes      usedCodes
	setup      setup
	tries      tries
	guesses    guesses
	places     places
	challenges challenges
}

// New returns a registry. It starts no goroutine.
func New(cfg Config) *Registry {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Website.Now == nil {
		cfg.Website.Now = cfg.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if len(cfg.Website.BrowserKey) == 0 {
		cfg.Website.BrowserKey = randomKey()
	}
	now := cfg.Website.Now
	return &Registry{cfg: cfg, now: now, sessions: newSessions(cfg), passwords: newHasher(),
		codes: usedCodes{last: map[access.ID]int64{}}, setup: setup{turn: limit.NewGate(1)},
		tries: tries{now: now}, places: newPlaces(), challenges: newChallenges(now)}
}

// account returns an account as it is now, and false if there is none or it is disabled.
func (r *Registry) account(id access.ID) (accounts.Account, bool) {
	a, ok := accounts.Kind.In(r.cfg.Policy())[id]
	return a, ok && !a.Disabled
}

// edit changes an account in place. What it lists is set's own to change.
func (r *Registry) edit(ctx context.Context, actor string, id access.ID,
	set func(*accounts.Account) error) error {
	return r.cfg.Edit(ctx, actor, id, func(a *accounts.Account) error {
		a.Passkeys, a.Tokens = slices.Clone(a.Passkeys), slices.Clone(a.Tokens)
		return set(a)
	})
}

func randomKey() []byte {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the program instead
	return b
}
