package admin

import (
	"context"

	"latchkey/gateway/access"
	"latchkey/gateway/access/accounts"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/route"
)

func (a *server) addSetupRoutes() {
	handle(a, api.GetSetup,
		func(context.Context, *api.Nothing) (api.Setup, error) {
			return api.Setup{Needed: a.hasNoAccounts(), URL: a.ConsoleURL}, nil
		})
	handle(a, api.MintSetupCode,
		func(ctx context.Context, _ *api.Nothing) (api.SetupCode, error) {
			if a.Live == nil {
				return api.SetupCode{}, route.ErrNoGateway
			}
			code, err := a.accounts.MintSetUp(ctx)
			return api.SetupCode{Code: code}, err
		})
	handle(a, api.SetUp,
		func(ctx context.Context, in *api.Body[api.SetUpRequest]) (out api.Account, err error) {
			err = a.accounts.UseSetUp(ctx, in.Body.Code, func() error {
				out, err = a.makeOwner(ctx, in.Body.Name, in.Body.Password)
				return err
			})
			if err == nil {
				err = a.accounts.SignInSetUp(ctx, out.ID)
			}
			return out, err
		})
}

// hasNoAccounts tells whether there is no account yet.
func (a *server) hasNoAccounts() bool { return len(accounts.Kind.In(a.Store.Snapshot())) == 0 }

// makeOwner makes an owner's account, or turns an account into an owner's. It removes everything
// that somebody else may have added to the account or may still know of it.
func (a *server) makeOwner(ctx context.Context, name, password string) (api.Account, error) {
	hash, err := a.accounts.HashPassword(ctx, name, password)
	if err != nil {
		return api.Account{}, err
	}
	return putRecord(withActor(ctx, "set-up code"), a, func(p *access.Policy) (accounts.Account, error) {
		r, ok := accounts.Kind.ByName(p, name)
		if !ok {
			return accounts.Account{ID: access.NewID(), Name: name, Role: accounts.RoleOwner, Password: hash,
				Created: a.makeStamp()}, nil
		}
		return accounts.Account{ID: r.ID, Name: r.Name, Role: accounts.RoleOwner, Password: hash,
			Epoch: r.Epoch + 1, Created: r.Created}, nil
	}, api.ViewAccount)
}
