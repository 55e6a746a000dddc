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

// Website describes the website whose visitors sign in. With the zero Website nobody can sign in.
type Website struct {
	SignIns SignIns // where sign-ins are stored; nil: nobody can sign in

	// Hosts are the names, without port, that the website answers to; *.NAME stands for all names
	// one label below NAME. Passkeys work only under these names. Empty: every name.
	Hosts []string
	// Local are the networks from which people open doors without a second step. Loopback counts
	// only if it is listed, because behind a reverse proxy every visitor comes from there.
	Local []netip.Prefix
	// BrowserKey signs the cookie that remembers who has signed in with a browser. If it is empty,
	// New makes a key that lasts until the program ends.
	BrowserKey []byte
	// Peer returns the address at the other end of the visitor's connection. nil: the website's
	// word is taken for it, see [Describe].
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

// Registry checks sign-ins, and knows who is signed in. A gateway has exactly one, because it
// counts tries and remembers which codes and challenges were used.
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

// edit changes an account in place. set gets a copy, lists included, that it may change.
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
