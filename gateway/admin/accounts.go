package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/account"
)

// Account is somebody who may sign in at the console, in an answer: no secret of it is.
type Account struct {
	ID       access.ID   `json:"id"`
	Name     string      `json:"name"`
	Role     access.Role `json:"role" doc:"owner, admin, operator or viewer"`
	Disabled bool        `json:"disabled,omitempty"`
	Password bool        `json:"password" doc:"whether it has one: without, nobody signs in with it"`
	TOTP     bool        `json:"totp" doc:"whether it is asked for one-time codes"`
	Passkeys []Passkey   `json:"passkeys"`
	Tokens   []Token     `json:"tokens"`
	Epoch    uint64      `json:"epoch" doc:"a session that began under another one is over"`
	Created  time.Time   `json:"created"`
}

// Passkey is a WebAuthn credential in an answer.
type Passkey struct {
	ID         []byte          `json:"id" doc:"the credential id; in paths it is base64url without padding"`
	Label      string          `json:"label"`
	Credential json.RawMessage `json:"credential" doc:"public key, counter and flags, as they are kept"`
	Created    time.Time       `json:"created"`
}

// Token lets a script in, in an answer: what the script sends is in the answer that mints it and in
// no other.
type Token struct {
	ID      access.ID      `json:"id"`
	Label   string         `json:"label"`
	Scopes  []access.Scope `json:"scopes"`
	Until   time.Time      `json:"until,omitzero" doc:"first instant after validity"`
	Created time.Time      `json:"created"`
}

// NewAccount asks for an account.
type NewAccount struct {
	Name     string `json:"name" doc:"1 to 64 of a-z 0-9 . _ -"`
	Role     string `json:"role" enum:"owner,admin,operator,viewer"`
	Password string `json:"password,omitempty" doc:"10 to 256 bytes of text; without one nobody can sign in yet"`
}

// AccountChange changes an account. All but a new name, and an end of being disabled, ends its
// sessions.
type AccountChange struct {
	Name     string  `json:"name,omitempty"`
	Role     string  `json:"role,omitempty" enum:"owner,admin,operator,viewer"`
	Disabled *bool   `json:"disabled,omitempty" doc:"true: nobody signs in with it and none of its tokens fits"`
	Password *string `json:"password,omitempty" doc:"10 to 256 bytes of text"`
}

func (a *api) accountRoutes() {
	handle(a, toReview, http.MethodGet, "/v1/accounts", "list-accounts",
		"Everybody who may sign in at the console, by name",
		func(context.Context, *struct{}) (*body[list[Account]], error) {
			p := a.Store.Snapshot()
			return listOf(viewAll(p, p.Accounts, viewAccount, func(v Account) string { return v.Name })), nil
		})
	handle(a, toGovern, http.MethodPost, "/v1/accounts", "add-account",
		"Add an account. The first is an owner's",
		func(ctx context.Context, in *struct{ Body NewAccount }) (*body[Account], error) {
			return a.addAccount(ctx, in.Body)
		})
	handle(a, account.Need{Role: access.RoleOwner, Own: true}, http.MethodGet, "/v1/accounts/{ref}",
		"get-account", "One account", func(_ context.Context, in *RefInput) (*body[Account], error) {
			return show(a, in.Ref, findAccount, viewAccount)
		})
	handle(a, toGovern, http.MethodPatch, "/v1/accounts/{ref}", "change-account",
		"Rename, disable or enable an account, or change its role or password",
		func(ctx context.Context, in *struct {
			RefInput
			Body AccountChange
		}) (*body[Account], error) {
			return a.changeAccount(ctx, in.Ref, in.Body)
		})
	handle(a, toGovern, http.MethodDelete, "/v1/accounts/{ref}", "remove-account",
		"Remove an account with its passkeys and tokens",
		func(ctx context.Context, in *RefInput) (*body[Changed], error) {
			return remove(ctx, a, func(p *access.Policy) (access.Account, error) {
				return findAccount(p,
					in.Ref)
			})
		})
	handle(a, ownOnly, http.MethodPost, "/v1/accounts/{ref}/sign-out", "sign-out",
		"End all sessions of an account",
		func(ctx context.Context, in *RefInput) (*body[Account], error) {
			return a.renewed(ctx)(a.editAccount(ctx, in.Ref, func(r *access.Account) error {
				r.Epoch++
				return nil
			}))
		})
}

func (a *api) addAccount(ctx context.Context, in NewAccount) (*body[Account], error) {
	r := access.Account{ID: access.NewID(), Name: in.Name, Role: access.Role(in.Role), Created: a.stamp()}
	if in.Password != "" {
		var err error
		if r.Password, err = a.accounts.HashPassword(ctx, in.Name, in.Password); err != nil {
			return nil, err
		}
	}
	return put(ctx, a, func(*access.Policy) (access.Account, error) { return r, nil }, viewAccount)
}

func (a *api) changeAccount(ctx context.Context, ref string, in AccountChange) (*body[Account], error) {
	r, err := findAccount(a.Store.Snapshot(), ref)
	if err != nil {
		return nil, err
	}
	if in.Name != "" {
		r.Name = in.Name
	}
	if in.Password != nil { // hashed before the turn to change anything comes: it takes long
		if r.Password, err = a.accounts.HashPassword(ctx, r.Name, *in.Password); err != nil {
			return nil, err
		}
	}
	return a.editAccount(ctx, string(r.ID), func(now *access.Account) error {
		ends := false
		if in.Name != "" {
			now.Name = in.Name
		}
		if role := access.Role(in.Role); role != "" && role != now.Role {
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

// editAccount changes an account in place. What it lists is set's own to change.
func (a *api) editAccount(ctx context.Context, ref string, set func(*access.Account) error) (*body[Account],
	error) {
	return put(ctx, a, func(p *access.Policy) (access.Account, error) {
		r, err := findAccount(p, ref)
		if err != nil {
			return r, err
		}
		r.Passkeys, r.Tokens = slices.Clone(r.Passkeys), slices.Clone(r.Tokens)
		return r, set(&r)
	}, viewAccount)
}

// renewed keeps the browser signed in that has ended all sessions of its own account, or may have.
func (a *api) renewed(ctx context.Context) func(out *body[Account], err error) (*body[Account], error) {
	return func(out *body[Account], err error) (*body[Account], error) {
		if err != nil {
			return nil, err
		}
		return out, a.accounts.Renew(ctx, out.Body.ID)
	}
}

// edit changes an account for the registry of accounts.
func (a *api) edit(ctx context.Context, actor string, id access.ID, set func(*access.Account) error) error {
	_, err := a.change(withActor(ctx, actor), func(p *access.Policy) ([]access.Change, error) {
		r, ok := p.Accounts[id]
		if !ok {
			return nil, missing("account", string(id))
		}
		err := set(&r)
		return []access.Change{{Put: r}}, err
	})
	return err
}

// clockTrusted tells whether wall time can be relied on.
func (a *api) clockTrusted(now time.Time) bool {
	if a.Live == nil {
		return true
	}
	trusted, _ := a.Live.ClockTrusted(now)
	return trusted
}

// dropStep takes a second step away from an account. Sessions go on when one is added or another is
// left: whoever has a session had to pass what was asked for then, and still does. With the last
// one gone, all end: its owner notices, if it was somebody else who took it away.
func dropStep(r *access.Account, drop func()) {
	had := r.SecondStep()
	drop()
	if had && !r.SecondStep() {
		r.Epoch++
	}
}

func viewAccount(_ *access.Policy, r access.Account) Account {
	v := Account{ID: r.ID, Name: r.Name, Role: r.Role, Disabled: r.Disabled, Password: !r.Password.IsZero(),
		TOTP:     !r.TOTP.IsZero(),
		Passkeys: []Passkey{}, Tokens: []Token{}, Epoch: r.Epoch, Created: r.Created}
	for _, k := range r.Passkeys {
		v.Passkeys = append(v.Passkeys, Passkey{ID: k.ID, Label: k.Label, Credential: k.Credential,
			Created: k.Created})
	}
	for _, t := range r.Tokens {
		v.Tokens = append(v.Tokens, viewToken(t))
	}
	return v
}

func viewToken(t access.Token) Token {
	return Token{ID: t.ID, Label: t.Label, Scopes: t.Scopes, Until: t.Until, Created: t.Created}
}
