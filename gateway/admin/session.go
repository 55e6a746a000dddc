package admin

import (
	"context"
	"encoding/base64"
	"strings"

	"latchkey/gateway/account"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/route"
)

// addSessionRoutes adds the operations for the website, which passes on its visitors' cookies and
// sets the cookies of the answers.
func (a *server) addSessionRoutes() {
	handle(a, api.GetSession,
		func(ctx context.Context, in *api.SessionQuery) (api.Session, error) {
			return a.session(ctx, in.Operation)
		})
	handle(a, api.GetClient,
		func(ctx context.Context, _ *api.Nothing) (account.Client, error) { // account answers visitors
			p := account.PrincipalOf(ctx)
			return account.Client{Account: p.Account, Token: p.Token}, nil
		})
	handle(a, api.SignIn,
		func(ctx context.Context, in *api.Body[api.Credentials]) (api.Session, error) {
			if in.Body.Passkey != "" {
				return a.nowSignedIn(ctx, a.accounts.SignInPasskey(ctx, in.Body.Passkey))
			}
			_, err := a.accounts.SignIn(ctx, in.Body.Name, in.Body.Password)
			return a.nowSignedIn(ctx, err)
		})
	handle(a, api.SignInSecond,
		func(ctx context.Context, in *api.Body[api.Proof]) (api.Session, error) {
			return a.nowSignedIn(ctx, a.accounts.SignInSecond(ctx, account.Proof(in.Body)))
		})
	handle(a, api.AskPasskey,
		func(ctx context.Context, _ *api.Nothing) (any,
			error) {
			return a.accounts.AskPasskey(ctx)
		})
	handle(a, api.Confirm,
		func(ctx context.Context, in *api.Body[api.Proof]) (api.Session, error) {
			return a.nowSignedIn(ctx, a.accounts.Confirm(ctx, account.Proof(in.Body)))
		})
	handle(a, api.SignOutHere,
		func(ctx context.Context, _ *api.Nothing) (api.Session, error) {
			return api.Session{}, a.accounts.SignOut(ctx)
		})
	a.addOwnRoutes()
}

// addOwnRoutes adds the operations on the caller's own account. Those on everybody's accounts are
// for owners.
func (a *server) addOwnRoutes() {
	handle(a, api.ChangePassword,
		func(ctx context.Context, in *api.Body[api.NewOwnPassword]) (api.Account, error) {
			if err := a.accounts.ConfirmPassword(ctx, in.Body.Old); err != nil {
				return api.Account{}, err
			}
			id := account.PrincipalOf(ctx).Account
			change := api.AccountChange{Password: &in.Body.New}
			return a.renewSession(ctx)(a.changeAccount(ctx, string(id), change))
		})
	handle(a, api.AskNewPasskey,
		func(ctx context.Context, _ *api.Nothing) (any, error) {
			return a.accounts.AskNewPasskey(ctx)
		})
	handle(a, api.AddOwnPasskey,
		func(ctx context.Context, in *api.Body[api.MadePasskey]) (api.Account, error) {
			if err := a.accounts.AddPasskey(ctx, in.Body.Label, in.Body.Made); err != nil {
				return api.Account{}, err
			}
			out, err := showRecord(a, string(account.PrincipalOf(ctx).Account), findAccount, api.ViewAccount)
			if n := len(out.Passkeys); n > 0 { // the new one is the last
				route.ReplyOf(ctx).Location = "../accounts/" + string(out.ID) + "/passkeys/" +
					base64.RawURLEncoding.EncodeToString(out.Passkeys[n-1].ID)
			}
			return out, err
		})
}

// nowSignedIn returns who is signed in after an operation.
func (a *server) nowSignedIn(ctx context.Context, err error) (api.Session, error) {
	if err != nil {
		return api.Session{}, err
	}
	return a.session(ctx, "")
}

func (a *server) session(ctx context.Context, operation string) (out api.Session, err error) {
	of, local, err := a.accounts.Recognise(ctx)
	if err != nil {
		return api.Session{}, err
	}
	out.Local, out.SetUp = local, a.hasNoAccounts()
	if of.ID != "" {
		v := api.ViewAccount(nil, of)
		out.Account = &v
	}
	if p := a.accounts.Pending(ctx); p.ID != "" {
		out.Pending = &api.Pending{TOTP: !p.TOTP.IsZero(), Passkeys: len(p.Passkeys) > 0}
	}
	if operation == "" {
		return out, nil
	}
	id, value, _ := strings.Cut(operation, " ")
	d, ok := a.Demands[id]
	if !ok {
		return out, route.Missing("operation", id)
	}
	// A question about an operation on an account means the caller's own account: whoever may call
	// it for others has a role for that.
	if r := d.Need(value).Check(account.PrincipalOf(ctx), true); r != nil {
		out.Refused = &api.Refused{Status: r.Status, Type: r.Type, Detail: r.Detail}
		if r.Fresh != account.Stale {
			out.Refused.Fresh = r.Fresh.String()
		}
	}
	return out, nil
}
