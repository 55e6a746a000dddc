package admin

import (
	"context"
	"fmt"
	"net/http"

	"latchkey/gateway/access"
	"latchkey/gateway/account"
	"latchkey/keys"
)

// TOTPSecret is a fresh secret of RFC 6238 that nothing keeps yet.
type TOTPSecret struct {
	Secret string `json:"secret" doc:"in base32, to type into a phone"`
	URI    string `json:"uri" doc:"the same for a QR code"`
}

// TOTPChange asks that an account is asked for one-time codes.
type TOTPChange struct {
	Secret string `json:"secret" maxLength:"128" doc:"in base32"`
	Code   string `json:"code" maxLength:"16" doc:"the code that the phone shows now, which proves that it has the secret"`
}

func (a *api) totpRoutes() {
	const path = "/v1/accounts/{ref}/totp"
	handle(a, ownAgain, http.MethodPost, path, "make-totp",
		"A fresh secret for one-time codes, which is kept nowhere",
		func(_ context.Context, in *RefInput) (*body[TOTPSecret], error) {
			r, err := findAccount(a.Store.Snapshot(), in.Ref)
			if err != nil {
				return nil, err
			}
			secret, uri, err := account.NewCodes(r.Name)
			return answer(TOTPSecret{Secret: secret, URI: uri}, err)
		})
	handle(a, ownAgain, http.MethodPut, path, "set-totp",
		"Ask an account for one-time codes of this secret from now on",
		func(ctx context.Context, in *struct {
			RefInput
			Body TOTPChange
		}) (*body[Account], error) {
			return a.setTOTP(ctx, in.Ref, in.Body)
		})
	handle(a, ownAgain, http.MethodDelete, path, "remove-totp", "Ask an account for one-time codes no more",
		func(ctx context.Context, in *RefInput) (*body[Account], error) {
			return a.renewed(ctx)(a.editAccount(ctx, in.Ref, func(r *access.Account) error {
				dropStep(r, func() { r.TOTP = keys.Hidden{} })
				return nil
			}))
		})
}

func (a *api) setTOTP(ctx context.Context, ref string, in TOTPChange) (*body[Account], error) {
	secret, err := account.ParseCodes(in.Secret)
	if err != nil {
		return nil, err
	}
	r, err := findAccount(a.Store.Snapshot(), ref)
	if err != nil {
		return nil, err
	}
	if !a.accounts.CodeFits(secret, in.Code) {
		return nil, fmt.Errorf("code: %w: it does not fit: check that the clocks of the phone and of this machine are right, and send the next one",
			access.ErrInvalid)
	}
	out, err := a.editAccount(ctx, string(r.ID), func(r *access.Account) error {
		r.TOTP = keys.Hide(secret)
		return nil
	})
	if err == nil {
		a.accounts.UseCode(r.ID, secret, in.Code)
		a.accounts.StepAdded(ctx, r.ID)
	}
	return out, err
}
