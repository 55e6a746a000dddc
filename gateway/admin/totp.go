package admin

import (
	"context"
	"fmt"

	"latchkey/gateway/access"
	"latchkey/gateway/access/accounts"
	"latchkey/gateway/account"
	"latchkey/gateway/admin/api"
	"latchkey/keys"
)

func (a *server) addTotpRoutes() {
	handle(a, api.MakeTOTP,
		func(_ context.Context, in *api.ByRef) (api.TOTPSecret, error) {
			r, err := findAccount(a.Store.Snapshot(), in.Ref)
			if err != nil {
				return api.TOTPSecret{}, err
			}
			secret, uri, err := account.NewCodes(r.Name)
			return api.TOTPSecret{Secret: secret, URI: uri}, err
		})
	handle(a, api.SetTOTP,
		func(ctx context.Context, in *api.RefBody[api.TOTPChange]) (api.Account, error) {
			return a.setTOTP(ctx, in.Ref, in.Body)
		})
	handle(a, api.RemoveTOTP,
		func(ctx context.Context, in *api.ByRef) (api.Account, error) {
			return a.renewSession(ctx)(a.editAccount(ctx, in.Ref, func(r *accounts.Account) error {
				dropStep(r, func() { r.TOTP = keys.Hidden{} })
				return nil
			}))
		})
}

func (a *server) setTOTP(ctx context.Context, ref string, in api.TOTPChange) (api.Account, error) {
	secret, err := account.ParseCodes(in.Secret)
	if err != nil {
		return api.Account{}, err
	}
	r, err := findAccount(a.Store.Snapshot(), ref)
	if err != nil {
		return api.Account{}, err
	}
	if !a.accounts.CodeFits(secret, in.Code) {
		return api.Account{}, fmt.Errorf("code: %w: it is wrong: "+
			"check that the clocks of the phone and of this machine are right, and send the next one",
			access.ErrInvalid)
	}
	out, err := a.editAccount(ctx, string(r.ID), func(r *accounts.Account) error {
		r.TOTP = keys.Hide(secret)
		return nil
	})
	if err == nil {
		a.accounts.UseCode(r.ID, secret, in.Code)
		a.accounts.StepAdded(ctx, r.ID)
	}
	return out, err
}
