package admin

import (
	"context"
	"net/http"
	"strings"

	"latchkey/gateway/account"
)

// Session is who makes a request through the website, and whether they may do what is asked about.
type Session struct {
	Account *Account `json:"account,omitempty" doc:"that has signed in; left out if none has"`
	Local   bool     `json:"local,omitempty" doc:"the visitor is on a network where doors open without a second step"`
	Pending *Pending `json:"pending,omitempty" doc:"the password was right, and one of these is due"`
	Refused *Refused `json:"refused,omitempty" doc:"why the operation that was asked about would be refused"`
}

// Pending is which second steps an account has.
type Pending struct {
	TOTP     bool `json:"totp"`
	Passkeys bool `json:"passkeys"`
}

// Refused is why an operation would be refused.
type Refused struct {
	Status int    `json:"status" doc:"of HTTP"`
	Type   string `json:"type" doc:"urn:latchkey:problem:sign-in, role or step"`
	Fresh  string `json:"fresh,omitempty" enum:"confirmed,second" doc:"how lately a second step must have been given, where the type is step"`
	Detail string `json:"detail"`
}

// SessionQuery asks about an operation.
type SessionQuery struct {
	Operation string `query:"operation" maxLength:"64" doc:"id of an operation; where it needs different things for different values in its body, a space and the value follow"`
}

// Credentials are what somebody signs in with: a name and a password, or a passkey.
type Credentials struct {
	Name     string `json:"name,omitempty"`
	Password string `json:"password,omitempty"`
	Passkey  string `json:"passkey,omitempty" doc:"what a passkey has signed, as the browser gives it in JSON"`
}

// Proof is what somebody shows to prove that it is still them: one of these.
type Proof struct {
	Passkey  string `json:"passkey,omitempty" doc:"what a passkey has signed, as the browser gives it in JSON"`
	Code     string `json:"code,omitempty" doc:"a one-time code"`
	Password string `json:"password,omitempty" doc:"where the account has no second step"`
}

// NewOwnPassword asks for another password of whoever has signed in.
type NewOwnPassword struct {
	Old string `json:"old"`
	New string `json:"new" doc:"10 to 256 bytes of text"`
}

// MadePasskey is a passkey that a browser has just made.
type MadePasskey struct {
	Label string `json:"label" doc:"1 to 64 bytes of printable text, to tell it apart"`
	Made  string `json:"made" doc:"what the browser gives, in JSON"`
}

// sessionRoutes are for the website, which passes on its visitors' cookies and sets those of the
// answers.
func (a *api) sessionRoutes() {
	handle(a, publicly, http.MethodGet, "/v1/session", "get-session",
		"Who has signed in, and whether they may call an operation now",
		func(ctx context.Context, in *SessionQuery) (*body[Session], error) {
			return answer(a.session(ctx, in.Operation))
		})
	handle(a, anyone, http.MethodGet, account.ClientPath, "get-client",
		"On whose budget the visitor's requests go. It changes nothing",
		func(ctx context.Context, _ *struct{}) (*body[account.Client], error) { // of visitors, account answers before this is reached
			p := account.PrincipalOf(ctx)
			return answer(account.Client{Account: p.Account, Token: p.Token}, nil)
		})
	handle(a, publicly, http.MethodPost, "/v1/session", "sign-in",
		"Sign in with a name and a password, or with a passkey",
		func(ctx context.Context, in *struct{ Body Credentials }) (*body[Session], error) {
			if in.Body.Passkey != "" {
				return a.nowSignedIn(ctx, a.accounts.SignInPasskey(ctx, in.Body.Passkey))
			}
			_, err := a.accounts.SignIn(ctx, in.Body.Name, in.Body.Password)
			return a.nowSignedIn(ctx, err)
		})
	handle(a, publicly, http.MethodPost, "/v1/session/second", "sign-in-second",
		"Give the second step that a right password is waiting for",
		func(ctx context.Context, in *struct{ Body Proof }) (*body[Session], error) {
			return a.nowSignedIn(ctx, a.accounts.SignInSecond(ctx, account.Proof(in.Body)))
		})
	handle(a, publicly, http.MethodPost, "/v1/session/passkey", "ask-passkey",
		"What a browser is to sign with a passkey",
		func(ctx context.Context, _ *struct{}) (*body[any],
			error) {
			return answer(a.accounts.AskPasskey(ctx))
		})
	handle(a, signedIn, http.MethodPost, "/v1/session/step", "confirm",
		"Give a second step again, or the password where there is none",
		func(ctx context.Context, in *struct{ Body Proof }) (*body[Session], error) {
			return a.nowSignedIn(ctx, a.accounts.Confirm(ctx, account.Proof(in.Body)))
		})
	handle(a, signedIn, http.MethodDelete, "/v1/session", "sign-out-here", "Sign out in this browser",
		func(ctx context.Context, _ *struct{}) (*body[Session], error) {
			return answer(Session{}, a.accounts.SignOut(ctx))
		})
	a.ownRoutes()
}

// ownRoutes are what people do to their own accounts, besides what an owner does to everybody's.
func (a *api) ownRoutes() {
	handle(a, again, http.MethodPut, "/v1/session/password", "change-password",
		"Change the password of whoever has signed in, and sign every other browser out",
		func(ctx context.Context, in *struct{ Body NewOwnPassword }) (*body[Account], error) {
			if err := a.accounts.ConfirmPassword(ctx, in.Body.Old); err != nil {
				return nil, err
			}
			id := account.PrincipalOf(ctx).Account
			return a.renewed(ctx)(a.changeAccount(ctx, string(id), AccountChange{Password: &in.Body.New}))
		})
	handle(a, signedIn, http.MethodPost, "/v1/session/passkeys/new", "ask-new-passkey",
		"What passkey a browser is to make",
		func(ctx context.Context, _ *struct{}) (*body[any], error) {
			return answer(a.accounts.AskNewPasskey(ctx))
		})
	handle(a, again, http.MethodPost, "/v1/session/passkeys", "add-own-passkey",
		"Give whoever has signed in the passkey that their browser made",
		func(ctx context.Context, in *struct{ Body MadePasskey }) (*body[Account], error) {
			if err := a.accounts.AddPasskey(ctx, in.Body.Label, in.Body.Made); err != nil {
				return nil, err
			}
			return show(a, string(account.PrincipalOf(ctx).Account), findAccount, viewAccount)
		})
}

// nowSignedIn is who has signed in after an operation.
func (a *api) nowSignedIn(ctx context.Context, err error) (*body[Session], error) {
	if err != nil {
		return nil, err
	}
	return answer(a.session(ctx, ""))
}

func (a *api) session(ctx context.Context, operation string) (out Session, err error) {
	of, local, err := a.accounts.Recognise(ctx)
	if err != nil {
		return Session{}, err
	}
	out.Local = local
	if of.ID != "" {
		v := viewAccount(nil, of)
		out.Account = &v
	}
	if p := a.accounts.Pending(ctx); p.ID != "" {
		out.Pending = &Pending{TOTP: !p.TOTP.IsZero(), Passkeys: len(p.Passkeys) > 0}
	}
	if operation == "" {
		return out, nil
	}
	id, value, _ := strings.Cut(operation, " ")
	d, ok := a.demands[id]
	if !ok {
		return out, missing("operation", id)
	}
	// An operation on an account is asked about as one on one's own: whoever may call it for others
	// has a role for that.
	if r := d.need(value).Check(account.PrincipalOf(ctx), true); r != nil {
		out.Refused = &Refused{Status: r.Status, Type: r.Type, Detail: r.Detail}
		if r.Fresh != account.Stale {
			out.Refused.Fresh = r.Fresh.String()
		}
	}
	return out, nil
}
