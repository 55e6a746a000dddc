package account

import (
	"context"
	"crypto/subtle"
	"net/http"
	"strings"
	"time"

	"latchkey/gateway/limit"
	"latchkey/keys"
)

// MintSetUp mints the code that makes an owner. It is good for a day and for one account. It
// replaces the code before.
func (r *Registry) MintSetUp(ctx context.Context) (code string, err error) {
	return r.setup.mint(ctx, r.cfg.Now())
}

// UseSetUp calls f if the code is the one that was minted last. The code is used up when f returns
// no error.
func (r *Registry) UseSetUp(ctx context.Context, code string, f func() error) error {
	return r.setup.use(ctx, code, r.cfg.Now(), f)
}

const setupLife = 24 * time.Hour

// errSetup is the same for a wrong code and for one that was used, replaced or has expired.
var errSetup = &Refusal{Status: http.StatusForbidden, Type: TypeWrong,
	Detail: "this set-up code is wrong, or it was used, replaced or has expired: " +
		"latchkey console setup, on the gateway's machine, prints a new one"}

// setup holds the code that makes an owner. It is in memory only, so a restart ends it too. Wrong
// tries do not end it: nobody guesses 80 bits in a day, and otherwise anybody could keep out an
// owner who needs the code.
type setup struct {
	turn limit.Gate // held from the check of the code until f has returned
	code string     // without dashes; empty: none
	made time.Time
}

func (s *setup) mint(ctx context.Context, now time.Time) (string, error) {
	if err := s.turn.Enter(ctx); err != nil {
		return "", err
	}
	defer s.turn.Leave()
	s.code, s.made = keys.Random(16), now
	return s.code[:4] + "-" + s.code[4:8] + "-" + s.code[8:12] + "-" + s.code[12:], nil
}

// use calls f if the code is the one that was minted last. The code is used up when f returns no
// error.
func (s *setup) use(ctx context.Context, code string, now time.Time, f func() error) error {
	if err := s.turn.Enter(ctx); err != nil {
		return err
	}
	defer s.turn.Leave()
	if s.code == "" || now.Sub(s.made) >= setupLife {
		s.code = ""
		return errSetup
	}
	code = strings.ToLower(strings.NewReplacer("-", "", " ", "").Replace(code))
	if subtle.ConstantTimeCompare([]byte(code), []byte(s.code)) != 1 {
		return errSetup
	}
	if err := f(); err != nil {
		return err
	}
	s.code = ""
	return nil
}
