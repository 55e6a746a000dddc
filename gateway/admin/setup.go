package admin

import (
	"context"
	"crypto/subtle"
	"errors"
	"net/http"
	"strings"
	"time"

	"latchkey/gateway/access"
	"latchkey/keys"
)

// Setup tells whether the console waits for its first account.
type Setup struct {
	Needed bool   `json:"needed" doc:"there is no account yet"`
	URL    string `json:"url,omitempty" doc:"where the console is, if it runs"`
}

// SetupCode lets somebody at the machine make themselves an owner, once.
type SetupCode struct {
	Code string `json:"code" example:"abcd-efgh-jkmn-pqrs"`
}

// SetUp asks for an owner's account.
type SetUp struct {
	Code     string `json:"code" maxLength:"64" doc:"dashes, spaces and capitals do not matter"`
	Name     string `json:"name" doc:"of a new account, or of one whose password, passkeys or phone were lost"`
	Password string `json:"password" doc:"10 to 256 bytes of text"`
}

func (a *api) setupRoutes() {
	handle(a, publicly, http.MethodGet, "/v1/setup", "get-setup", "Whether the console waits for its first account, and where it is",
		func(context.Context, *struct{}) (*body[Setup], error) {
			return answer(Setup{Needed: len(a.Store.Snapshot().Accounts) == 0, URL: a.ConsoleURL}, nil)
		})
	handle(a, onMachine, http.MethodPost, "/v1/setup/code", "mint-setup-code",
		"Mint the code that makes an owner: good for a day and for one account. The one before is void",
		func(ctx context.Context, _ *struct{}) (*body[SetupCode], error) {
			if a.Live == nil {
				return nil, ErrNoGateway
			}
			return answer(a.setup.mint(ctx, a.Now()))
		})
	handle(a, publicly, http.MethodPost, "/v1/setup", "set-up",
		"Make an owner's account with the code, or make one that is there an owner's again, with this password and nothing else",
		func(ctx context.Context, in *struct{ Body SetUp }) (out *body[Account], err error) {
			err = a.setup.use(ctx, in.Body.Code, a.Now(), func() error {
				out, err = a.makeOwner(ctx, in.Body.Name, in.Body.Password)
				return err
			})
			return out, err
		})
}

// makeOwner makes an owner's account, or makes an account an owner's, without whatever somebody else may have put in or may still have of it.
func (a *api) makeOwner(ctx context.Context, name, password string) (*body[Account], error) {
	hash, err := a.passwords.hash(ctx, name, password)
	if err != nil {
		return nil, err
	}
	return put(withActor(ctx, "set-up code"), a, func(p *access.Policy) (access.Account, error) {
		r, ok := p.AccountByName(name)
		if !ok {
			return access.Account{ID: access.NewID(), Name: name, Role: access.RoleOwner, Password: hash, Created: a.stamp()}, nil
		}
		return access.Account{ID: r.ID, Name: r.Name, Role: access.RoleOwner, Password: hash, Epoch: r.Epoch + 1, Created: r.Created}, nil
	}, viewAccount)
}

const setupLife = 24 * time.Hour

// errSetup is the same for a wrong code and for one that is void.
var errSetup = forbidden{errors.New("this set-up code does not fit, or not any more: latchkey console setup, on the gateway's machine, prints a new one")}

// setup is the code that makes an owner. It is in memory only, so a restart voids it too. Wrong codes do not: it has 80 bits, which nobody
// guesses in a day, and anybody could keep an owner out who needs it.
type setup struct {
	turn chan struct{} // held while the code is looked at, until what it was for is done
	code string        // without dashes; empty: none
	made time.Time
}

func (s *setup) mint(ctx context.Context, now time.Time) (SetupCode, error) {
	leave, err := enter(ctx, s.turn)
	if err != nil {
		return SetupCode{}, err
	}
	defer leave()
	s.code, s.made = keys.Random(16), now
	return SetupCode{Code: s.code[:4] + "-" + s.code[4:8] + "-" + s.code[8:12] + "-" + s.code[12:]}, nil
}

// use calls f if the code is the one that was minted, which is void as soon as f has no error.
func (s *setup) use(ctx context.Context, code string, now time.Time, f func() error) error {
	leave, err := enter(ctx, s.turn)
	if err != nil {
		return err
	}
	defer leave()
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
