package account

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/alexedwards/argon2id"

	"latchkey/gateway/access"
	"latchkey/gateway/access/accounts"
	"latchkey/gateway/limit"
	"latchkey/keys"
)

// CheckPassword returns the account of that name if the password is right. A caller cannot tell an
// unknown name, a disabled account and a wrong password apart, not even by the time that the check
// takes. It counts no tries.
func (r *Registry) CheckPassword(ctx context.Context, name, password string) (a accounts.Account, fits bool,
	err error) {
	a, _ = accounts.Kind.ByName(r.cfg.Policy(), name)
	hash := r.passwords.decoy
	if !a.Disabled && !a.Password.IsZero() {
		hash = a.Password.Reveal()
	}
	fits, old, err := r.passwords.fits(ctx, hash, password)
	if err != nil || !fits {
		return accounts.Account{}, false, err
	}
	if old {
		r.renewPassword(ctx, a, password)
	}
	// We return the account as it was when the check began. If it was changed meanwhile, it has
	// another epoch, so that the session is over before it begins.
	return a, true, nil
}

// HashPassword returns the hash to store for a new password of the account with that name. It fails
// with [access.ErrInvalid] if the password is too weak or not valid text.
func (r *Registry) HashPassword(ctx context.Context, name, password string) (keys.Hidden, error) {
	return r.passwords.hash(ctx, name, password)
}

// renewPassword hashes the password of an account again with the parameters of today. If that
// fails, the next sign-in tries again.
func (r *Registry) renewPassword(ctx context.Context, was accounts.Account, password string) {
	hash, err := r.passwords.make(ctx, password)
	if err == nil {
		err = r.edit(ctx, "gateway", was.ID, func(a *accounts.Account) error {
			if a.Password.Reveal() == was.Password.Reveal() {
				a.Password = hash
			}
			return nil
		})
	}
	if err != nil && !errors.Is(err, access.ErrNotFound) {
		r.cfg.Log.WarnContext(ctx, "password not hashed anew", "account", was.Name, "err", err)
	}
}

// hashParams are OWASP's choice for machines with little memory: 19 MiB, two passes, one lane.
var hashParams = argon2id.Params{Memory: 19 << 10, Iterations: 2, Parallelism: 1, SaltLength: 16,
	KeyLength: 32}

// hashesAtOnce bounds the memory that a flood of sign-ins takes: a small machine has 512 MB.
const hashesAtOnce = 2

// hasher hashes passwords, and checks them against stored hashes.
type hasher struct {
	room  limit.Gate
	decoy string // the hash of a random password, as costly to check as any other
}

func newHasher() hasher { return newHasherOf(hashesAtOnce) }

// newHasherOf returns a hasher that makes so many checks at once.
func newHasherOf(atOnce int) hasher {
	b := make([]byte, hashParams.SaltLength+hashParams.KeyLength)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the program instead
	text := base64.RawStdEncoding.EncodeToString
	return hasher{room: limit.NewGate(atOnce), decoy: fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$%s$%s",
		hashParams.Memory, hashParams.Iterations, hashParams.Parallelism,
		text(b[:hashParams.SaltLength]), text(b[hashParams.SaltLength:]))}
}

// hash returns the hash to store for a new password of the account with that name.
func (h hasher) hash(ctx context.Context, name, password string) (keys.Hidden, error) {
	if err := acceptable(name, password); err != nil {
		return keys.Hidden{}, err
	}
	return h.make(ctx, password)
}

func (h hasher) make(ctx context.Context, password string) (keys.Hidden, error) {
	if err := h.room.Enter(ctx); err != nil {
		return keys.Hidden{}, err
	}
	defer h.room.Leave()
	hash, err := argon2id.CreateHash(password, &hashParams)
	if err != nil {
		return keys.Hidden{}, fmt.Errorf("password: %w", err)
	}
	return keys.Hide(hash), nil
}

// fits tells whether a password matches a hash, and whether the hash has parameters that are out of
// date.
func (h hasher) fits(ctx context.Context, hash, password string) (fits, old bool, err error) {
	if err := h.room.Enter(ctx); err != nil {
		return false, false, err
	}
	defer h.room.Leave()
	fits, params, err := argon2id.CheckHash(password, hash)
	if err != nil {
		return false, false, fmt.Errorf("kept password: %w", err)
	}
	return fits, *params != hashParams, nil
}

// Bounds of a password, in bytes.
const (
	minPassword = 10
	maxPassword = 256
)

// usual are the passwords that people choose most often when ten characters are required. No rule
// asks for capitals or digits, and no password expires.
var usual = []string{
	"0123456789", "1234567890", "0987654321", "12345678910", "1q2w3e4r5t", "1q2w3e4r5t6y", "qwertyuiop",
	"qwertzuiop", "asdfghjkl1",
	"password12", "password123", "password1234", "passwordpassword", "iloveyou123", "letmein123",
	"welcome123", "changeme123",
	"administrator", "adminadmin", "admin12345", "latchkey123", "latchkeylatchkey",
}

// acceptable returns why the account with that name cannot have this password, after NIST SP
// 800-63B, 3.1.1.2: length counts, and passwords that an attacker tries first are refused. The
// error does not repeat the password.
func acceptable(name, password string) error {
	low := strings.ToLower(password)
	why := ""
	switch {
	case len(password) < minPassword || len(password) > maxPassword:
		why = fmt.Sprintf("it has %d bytes: want %d to %d", len(password), minPassword, maxPassword)
	case !utf8.ValidString(password) || strings.ContainsRune(password, utf8.RuneError): // JSON's mark for invalid UTF-8
		why = "it is not UTF-8: want text"
	case len(name) > 2 && strings.Contains(low, strings.ToLower(name)):
		why = "the name of the account is in it: choose another"
	case slices.Contains(usual, low) || strings.Trim(low, string([]rune(low)[:1])) == "":
		why = "it is among the first that anybody would try: choose another"
	default:
		return nil
	}
	return fmt.Errorf("password: %w: %s", access.ErrInvalid, why)
}
