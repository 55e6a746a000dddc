package admin

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/alexedwards/argon2id"

	"latchkey/gateway/access"
	"latchkey/keys"
)

// PasswordCheck asks whether a password is an account's.
type PasswordCheck struct {
	Name     string `json:"name"`
	Password string `json:"password"`
}

// AccountChecked is whether what was sent is an account's.
type AccountChecked struct {
	Fits    bool     `json:"fits"`
	Account *Account `json:"account,omitempty" doc:"only if it fits"`
}

func (a *api) passwordRoutes() {
	handle(a, onMachine, http.MethodPost, "/v1/accounts/check-password", "check-password",
		"Whether a password is an account's. An unknown name, a disabled account and a wrong password cannot be told apart",
		func(ctx context.Context, in *struct{ Body PasswordCheck }) (*body[AccountChecked], error) {
			return answer(a.checkPassword(ctx, in.Body))
		})
}

func (a *api) checkPassword(ctx context.Context, in PasswordCheck) (AccountChecked, error) {
	p := a.Store.Snapshot()
	r, _ := p.AccountByName(in.Name)
	hash := a.passwords.decoy
	if !r.Disabled && !r.Password.IsZero() {
		hash = r.Password.Reveal()
	}
	fits, old, err := a.passwords.fits(ctx, hash, in.Password)
	if err != nil || !fits {
		return AccountChecked{}, err
	}
	if old {
		a.renewPassword(ctx, r, in.Password)
	}
	// As it was when the check began: had it changed meanwhile, its epoch is another one, and so the session is over before it begins.
	v := viewAccount(p, r)
	return AccountChecked{Fits: true, Account: &v}, nil
}

// renewPassword keeps the password of an account as passwords are kept now. If that fails, it is for the next sign-in to try.
func (a *api) renewPassword(ctx context.Context, was access.Account, password string) {
	hash, err := a.passwords.make(ctx, password)
	if err == nil {
		_, err = a.change(withActor(ctx, "gateway"), func(p *access.Policy) ([]access.Change, error) {
			r, ok := p.Accounts[was.ID]
			if !ok || r.Password.Reveal() != was.Password.Reveal() {
				return nil, nil
			}
			r.Password = hash
			return []access.Change{{Put: r}}, nil
		})
	}
	if err != nil {
		a.Log.WarnContext(ctx, "password not hashed anew", "account", was.Name, "err", err)
	}
}

// hashParams are OWASP's choice for machines with little memory: 19 MiB, two passes, one lane.
var hashParams = argon2id.Params{Memory: 19 << 10, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32}

// hashesAtOnce bounds the memory that a flood of sign-ins takes: a small machine has 512 MB.
const hashesAtOnce = 2

// hasher turns passwords into what is kept of them, and back into whether they fit.
type hasher struct {
	room  chan struct{}
	decoy string // a hash of nothing anybody knows, as costly to check as any
}

func newHasher() hasher {
	b := make([]byte, hashParams.SaltLength+hashParams.KeyLength)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the program instead
	text := base64.RawStdEncoding.EncodeToString
	return hasher{room: make(chan struct{}, hashesAtOnce), decoy: fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$%s$%s", hashParams.Memory,
		hashParams.Iterations, hashParams.Parallelism, text(b[:hashParams.SaltLength]), text(b[hashParams.SaltLength:]))}
}

// hash returns what is kept of a new password of the account with that name.
func (h hasher) hash(ctx context.Context, name, password string) (keys.Hidden, error) {
	if err := acceptable(name, password); err != nil {
		return keys.Hidden{}, err
	}
	return h.make(ctx, password)
}

func (h hasher) make(ctx context.Context, password string) (keys.Hidden, error) {
	leave, err := enter(ctx, h.room)
	if err != nil {
		return keys.Hidden{}, err
	}
	defer leave()
	hash, err := argon2id.CreateHash(password, &hashParams)
	if err != nil {
		return keys.Hidden{}, fmt.Errorf("password: %w", err)
	}
	return keys.Hide(hash), nil
}

// fits tells whether a password is the one of a hash, and whether the hash is made as none is any more.
func (h hasher) fits(ctx context.Context, hash, password string) (fits, old bool, err error) {
	leave, err := enter(ctx, h.room)
	if err != nil {
		return false, false, err
	}
	defer leave()
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

// usual are what people choose who must choose ten characters. No rule asks for capitals or digits, and no password expires.
var usual = []string{
	"0123456789", "1234567890", "0987654321", "12345678910", "1q2w3e4r5t", "1q2w3e4r5t6y", "qwertyuiop", "qwertzuiop", "asdfghjkl1",
	"password12", "password123", "password1234", "passwordpassword", "iloveyou123", "letmein123", "welcome123", "changeme123",
	"administrator", "adminadmin", "admin12345", "latchkey123", "latchkeylatchkey",
}

// acceptable tells why something is no password for the account with that name, by NIST SP 800-63B, 3.1.1.2: length counts, and what is
// tried first is refused. The error does not repeat it.
func acceptable(name, password string) error {
	low := strings.ToLower(password)
	why := ""
	switch {
	case len(password) < minPassword || len(password) > maxPassword:
		why = fmt.Sprintf("it has %d bytes: want %d to %d", len(password), minPassword, maxPassword)
	case !utf8.ValidString(password) || strings.ContainsRune(password, utf8.RuneError): // JSON turns what is not UTF-8 into the latter
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
