package admin

import (
	"context"
	"fmt"
	"slices"

	"latchkey/gateway/access"
	"latchkey/gateway/access/accounts"
	"latchkey/gateway/account"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/route"
)

func (a *server) addTokenRoutes() {
	handle(a, api.AddToken,
		func(ctx context.Context, in *api.RefBody[api.NewToken]) (api.MintedToken, error) {
			return a.mintToken(ctx, in.Ref, in.Body)
		})
	handle(a, api.RemoveToken,
		func(ctx context.Context, in *api.TokenInput) (api.Account, error) {
			return a.editAccount(ctx, in.Ref, func(r *accounts.Account) error {
				i := slices.IndexFunc(r.Tokens, func(t accounts.Token) bool { return string(t.ID) == in.ID })
				if i < 0 {
					return route.Missing("token", in.ID)
				}
				r.Tokens = slices.Delete(r.Tokens, i, i+1)
				return nil
			})
		})
}

func (a *server) mintToken(ctx context.Context, ref string, in api.NewToken) (api.MintedToken, error) {
	text, hash := account.NewTokenText()
	t := accounts.Token{ID: access.NewID(), Label: in.Label, Hash: hash, Scopes: in.Scopes,
		Until:   valueOf(in.Until),
		Created: a.makeStamp()}
	if in.Until != nil && !a.Now().Before(t.Until) {
		return api.MintedToken{}, fmt.Errorf("until: %w: it is over already: want a time to come",
			access.ErrInvalid)
	}
	_, err := a.editAccount(ctx, ref, func(r *accounts.Account) error {
		r.Tokens = append(r.Tokens, t)
		return nil
	})
	if err != nil {
		return api.MintedToken{}, err
	}
	return api.MintedToken{Token: api.ViewToken(t), Text: text}, nil
}
