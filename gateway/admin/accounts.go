package admin

import (
	"context"
	"slices"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/access/accounts"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/route"
)

func (a *server) addAccountRoutes() {
	handle(a, api.ListAccounts,
		func(_ context.Context, in *api.ListQuery) (api.List[api.Account], error) {
			p := a.Store.Snapshot()
			return listRecords(a, p, accounts.Kind.In(p), catalog[accounts.Account, api.Account]{
				draw: api.ViewAccount, key: func(v api.Account) string { return v.Name }}, *in)
		})
	handle(a, api.AddAccount,
		func(ctx context.Context, in *api.Body[api.NewAccount]) (api.Account, error) {
			return a.addAccount(ctx, in.Body)
		})
	handle(a, api.GetAccount,
		func(_ context.Context, in *api.ByRef) (api.Account, error) {
			return showRecord(a, in.Ref, findAccount, api.ViewAccount)
		})
	handle(a, api.ChangeAccount,
		func(ctx context.Context, in *api.RefBody[api.AccountChange]) (api.Account, error) {
			return a.changeAccount(ctx, in.Ref, in.Body)
		})
	handle(a, api.RemoveAccount,
		func(ctx context.Context, in *api.ByRef) (api.Changed, error) {
			return removeRecord(ctx, a, in.Ref, findAccount)
		})
	handle(a, api.SignOut,
		func(ctx context.Context, in *api.ByRef) (api.Account, error) {
			return a.renewSession(ctx)(a.editAccount(ctx, in.Ref, func(r *accounts.Account) error {
				r.Epoch++
				return nil
			}))
		})
}

func (a *server) addAccount(ctx context.Context, in api.NewAccount) (api.Account, error) {
	r := accounts.Account{ID: access.NewID(), Name: in.Name, Role: accounts.Role(in.Role),
		Created: a.makeStamp()}
	if in.Password != "" {
		var err error
		if r.Password, err = a.accounts.HashPassword(ctx, in.Name, in.Password); err != nil {
			return api.Account{}, err
		}
	}
	return putRecord(ctx, a, func(*access.Policy) (accounts.Account, error) { return r, nil }, api.ViewAccount)
}

func (a *server) changeAccount(ctx context.Context, ref string, in api.AccountChange) (api.Account, error) {
	r, err := findAccount(a.Store.Snapshot(), ref)
	if err != nil {
		return api.Account{}, err
	}
	if in.Name != "" {
		r.Name = in.Name
	}
	if in.Password != nil { // hashed before we wait for the turn to change records, as hashing takes long
		if r.Password, err = a.accounts.HashPassword(ctx, r.Name, *in.Password); err != nil {
			return api.Account{}, err
		}
	}
	return a.editAccount(ctx, string(r.ID), func(now *accounts.Account) error {
		ends := false
		if in.Name != "" {
			now.Name = in.Name
		}
		if role := accounts.Role(in.Role); role != "" && role != now.Role {
			now.Role, ends = role, true
		}
		if in.Disabled != nil && *in.Disabled != now.Disabled {
			now.Disabled, ends = *in.Disabled, ends || *in.Disabled
		}
		if in.Password != nil {
			now.Password, ends = r.Password, true
		}
		if ends {
			now.Epoch++
		}
		return nil
	})
}

// editAccount changes an account in place. set gets a copy, lists included, that it may change.
func (a *server) editAccount(ctx context.Context, ref string,
	set func(*accounts.Account) error) (api.Account, error) {
	return putRecord(ctx, a, func(p *access.Policy) (accounts.Account, error) {
		r, err := findAccount(p, ref)
		if err != nil {
			return r, err
		}
		r.Passkeys, r.Tokens = slices.Clone(r.Passkeys), slices.Clone(r.Tokens)
		return r, set(&r)
	}, api.ViewAccount)
}

// renewSession keeps the caller's browser signed in after a change that may have ended all sessions
// of the caller's own account.
func (a *server) renewSession(ctx context.Context) func(api.Account, error) (api.Account, error) {
	return func(out api.Account, err error) (api.Account, error) {
		if err != nil {
			return api.Account{}, err
		}
		return out, a.accounts.Renew(ctx, out.ID)
	}
}

// editRegistered changes an account for the registry of accounts.
func (a *server) editRegistered(ctx context.Context, actor string, id access.ID,
	set func(*accounts.Account) error) error {
	_, err := a.makeChange(withActor(ctx, actor), func(p *access.Policy) ([]access.Change, error) {
		r, ok := accounts.Kind.In(p)[id]
		if !ok {
			return nil, route.Missing("account", string(id))
		}
		err := set(&r)
		return []access.Change{{Put: r}}, err
	})
	return err
}

// trustsClock tells whether the clock can be trusted.
func (a *server) trustsClock(now time.Time) bool {
	if a.Live == nil {
		return true
	}
	trusted, _ := a.Live.ClockTrusted(now)
	return trusted
}

// dropStep removes a second step from an account. Sessions continue when a step is added or another
// one is left, because each session has passed what was required of it. When the last step is
// removed, all sessions end, so that the owner of the account notices if it was somebody else.
func dropStep(r *accounts.Account, drop func()) {
	had := r.SecondStep()
	drop()
	if had && !r.SecondStep() {
		r.Epoch++
	}
}
