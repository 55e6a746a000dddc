package account

import (
	"encoding/base32"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
	"github.com/pquerna/otp/totp"

	"latchkey/gateway/access"
)

// NewCodes makes a secret of 160 bits for one-time codes, as RFC 4226, 4 requires, in base32 and as
// a URI. It does not store the secret.
func NewCodes(account string) (secret, uri string, err error) {
	k, err := totp.Generate(totp.GenerateOpts{Issuer: "latchkey", AccountName: account, SecretSize: 20,
		Digits:    otp.DigitsSix,
		Algorithm: otp.AlgorithmSHA1, Period: totpPeriod})
	if err != nil {
		return "", "", fmt.Errorf("one-time codes: %w", err)
	}
	return k.Secret(), k.URL(), nil
}

// ParseCodes turns a secret of one-time codes that somebody typed into the form that is stored. It
// fails with [access.ErrInvalid].
func ParseCodes(text string) (secret string, err error) {
	secret = strings.ToUpper(strings.ReplaceAll(text, " ", ""))
	if b, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(secret); err != nil ||
		len(b) < 16 || len(b) > 64 {
		return "", fmt.Errorf("secret: %w: want 16 to 64 bytes in base32 without padding", access.ErrInvalid)
	}
	return secret, nil
}

// CheckCode tells whether a one-time code belongs to an account. Each code is accepted once.
func (r *Registry) CheckCode(id access.ID, code string) bool {
	a, ok := r.account(id)
	return ok && !a.TOTP.IsZero() && r.codes.use(id, stepsOf(a.TOTP.Reveal(), code, r.now()))
}

// CodeFits tells whether a code belongs to a secret at this time.
func (r *Registry) CodeFits(secret, code string) bool { return len(stepsOf(secret, code, r.now())) > 0 }

// UseCode marks a code of an account's new secret as used.
func (r *Registry) UseCode(id access.ID, secret, code string) {
	r.codes.use(id, stepsOf(secret, code, r.now()))
}

// totpPeriod is how long a code is shown, in seconds.
const totpPeriod = 30

// stepsOf returns the time steps that a code belongs to, among the present one, the one before and
// the one after.
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

// usedCodes remembers the last time step that each account has used, so that nobody can use a code
// again that they saw somebody type: RFC 6238, 5.2. It is in memory only, so a code seen just
// before a restart could be used again within a minute and a half. If we refused all codes from
// before the start, people would be kept out for that long, and after a power cut they stand at the
// door at once.
type usedCodes struct {
	mu   sync.Mutex
	last map[access.ID]int64 // guarded by mu
}

// use marks the earliest of the steps that is later than the last used one. It returns false if
// there is none.
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
