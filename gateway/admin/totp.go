package admin

import (
	"context"
	"encoding/base32"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
	"github.com/pquerna/otp/totp"

	"latchkey/gateway/access"
	"latchkey/keys"
)

// TOTPSecret is a fresh secret of RFC 6238 that nothing keeps yet.
type TOTPSecret struct {
	Secret string `json:"secret" doc:"in base32, to type into a phone"`
	URI    string `json:"uri" doc:"the same for a QR code"`
}

// TOTPChange asks that an account is asked for one-time codes.
type TOTPChange struct {
	Secret string `json:"secret" maxLength:"128" doc:"in base32"`
	Code   string `json:"code" maxLength:"16" doc:"the code that the phone shows now, which proves that it has the secret"`
}

// TOTPCode is what a phone shows.
type TOTPCode struct {
	Code string `json:"code" maxLength:"16"`
}

// Fits tells whether what was sent is right.
type Fits struct {
	Fits bool `json:"fits"`
}

func (a *api) totpRoutes() {
	const path = "/v1/accounts/{ref}/totp"
	handle(a, ownAgain, http.MethodPost, path, "make-totp", "A fresh secret for one-time codes, which is kept nowhere",
		func(_ context.Context, in *RefInput) (*body[TOTPSecret], error) {
			r, err := findAccount(a.Store.Snapshot(), in.Ref)
			if err != nil {
				return nil, err
			}
			return answer(newTOTP(r.Name))
		})
	handle(a, ownAgain, http.MethodPut, path, "set-totp", "Ask an account for one-time codes of this secret from now on",
		func(ctx context.Context, in *struct {
			RefInput
			Body TOTPChange
		}) (*body[Account], error) {
			return a.setTOTP(ctx, in.Ref, in.Body)
		})
	handle(a, ownAgain, http.MethodDelete, path, "remove-totp", "Ask an account for one-time codes no more",
		func(ctx context.Context, in *RefInput) (*body[Account], error) {
			return a.editAccount(ctx, in.Ref, func(r *access.Account) error {
				dropStep(r, func() { r.TOTP = keys.Hidden{} })
				return nil
			})
		})
	handle(a, onMachine, http.MethodPost, path+"/check", "check-totp", "Whether a one-time code is an account's. Each fits once",
		func(_ context.Context, in *struct {
			RefInput
			Body TOTPCode
		}) (*body[Fits], error) {
			r, err := findAccount(a.Store.Snapshot(), in.Ref)
			if err != nil {
				return nil, err
			}
			fits := !r.Disabled && !r.TOTP.IsZero() && a.codes.use(r.ID, stepsOf(r.TOTP.Reveal(), in.Body.Code, a.Now()))
			return answer(Fits{fits}, nil)
		})
}

// newTOTP makes a secret of 160 bits, as RFC 4226, 4 asks for.
func newTOTP(account string) (TOTPSecret, error) {
	k, err := totp.Generate(totp.GenerateOpts{Issuer: "latchkey", AccountName: account, SecretSize: 20, Digits: otp.DigitsSix,
		Algorithm: otp.AlgorithmSHA1, Period: totpPeriod})
	if err != nil {
		return TOTPSecret{}, fmt.Errorf("one-time codes: %w", err)
	}
	return TOTPSecret{Secret: k.Secret(), URI: k.URL()}, nil
}

func (a *api) setTOTP(ctx context.Context, ref string, in TOTPChange) (*body[Account], error) {
	secret := strings.ToUpper(strings.ReplaceAll(in.Secret, " ", ""))
	if b, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(secret); err != nil || len(b) < 16 || len(b) > 64 {
		return nil, fmt.Errorf("secret: %w: want 16 to 64 bytes in base32 without padding", access.ErrInvalid)
	}
	r, err := findAccount(a.Store.Snapshot(), ref)
	if err != nil {
		return nil, err
	}
	steps := stepsOf(secret, in.Code, a.Now())
	if len(steps) == 0 {
		return nil, fmt.Errorf("code: %w: it does not fit: check that the clocks of the phone and of this machine are right, and send the next one",
			access.ErrInvalid)
	}
	out, err := a.editAccount(ctx, string(r.ID), func(r *access.Account) error {
		r.TOTP = keys.Hide(secret)
		return nil
	})
	if err == nil {
		a.codes.use(r.ID, steps)
	}
	return out, err
}

// totpPeriod is how long a code is shown, in seconds.
const totpPeriod = 30

// stepsOf returns the time steps, of the one now and those beside it, that a code belongs to.
func stepsOf(secret, code string, now time.Time) (steps []int64) {
	code = strings.ReplaceAll(code, " ", "") // as phones show it
	opts := hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1}
	at := now.Unix() / totpPeriod
	for step := at - 1; step <= at+1; step++ {
		if fits, err := hotp.ValidateCustom(code, uint64(step), secret, opts); err == nil && fits {
			steps = append(steps, step)
		}
	}
	return steps
}

// usedCodes remembers the last time step that each account has used, so that a code that somebody saw is of no more use to them: RFC 6238,
// 5.2. It is in memory only: a code seen just before a restart could be used again within a minute and a half. Refusing what is older than
// the start would keep people out for that long, and after a power cut they are at the door at once.
type usedCodes struct {
	mu   sync.Mutex
	last map[access.ID]int64 // guarded by mu
}

// use takes one of the steps that come after those used, the earliest, and tells whether there is any.
func (u *usedCodes) use(id access.ID, steps []int64) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, step := range steps {
		if last, known := u.last[id]; !known || step > last {
			u.last[id] = step
			return true
		}
	}
	return false
}
