package admin

import (
	"context"
	"net/http"

	"latchkey/gateway/access"
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
	handle(a, publicly, http.MethodGet, "/v1/setup", "get-setup",
		"Whether the console waits for its first account, and where it is",
		func(context.Context, *struct{}) (*body[Setup], error) {
			return answer(Setup{Needed: len(a.Store.Snapshot().Accounts) == 0, URL: a.ConsoleURL}, nil)
		})
	handle(a, onMachine, http.MethodPost, "/v1/setup/code", "mint-setup-code",
		"Mint the code that makes an owner: good for a day and for one account. The one before is void",
		func(ctx context.Context, _ *struct{}) (*body[SetupCode], error) {
			if a.Live == nil {
				return nil, ErrNoGateway
			}
			code, err := a.accounts.MintSetUp(ctx)
			return answer(SetupCode{code}, err)
		})
	handle(a, publicly, http.MethodPost, "/v1/setup", "set-up",
		"Make an owner's account with the code, or make one that is there an owner's again, with this password and nothing else. A visitor of the website is then signed in with it",
		func(ctx context.Context, in *struct{ Body SetUp }) (out *body[Account], err error) {
			err = a.accounts.UseSetUp(ctx, in.Body.Code, func() error {
				out, err = a.makeOwner(ctx, in.Body.Name, in.Body.Password)
				return err
			})
			if err == nil {
				err = a.accounts.SignInSetUp(ctx, out.Body.ID)
			}
			return out, err
		})
}

// makeOwner makes an owner's account, or makes an account an owner's, without whatever somebody
// else may have put in or may still have of it.
func (a *api) makeOwner(ctx context.Context, name, password string) (*body[Account], error) {
	hash, err := a.accounts.HashPassword(ctx, name, password)
	if err != nil {
		return nil, err
	}
	return put(withActor(ctx, "set-up code"), a, func(p *access.Policy) (access.Account, error) {
		r, ok := p.AccountByName(name)
		if !ok {
			return access.Account{ID: access.NewID(), Name: name, Role: access.RoleOwner, Password: hash,
				Created: a.stamp()}, nil
		}
		return access.Account{ID: r.ID, Name: r.Name, Role: access.RoleOwner, Password: hash, Epoch: r.Epoch +
			1, Created: r.Created}, nil
	}, viewAccount)
}
