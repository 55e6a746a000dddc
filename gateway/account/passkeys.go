package account

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"latchkey/gateway/access"
	"latchkey/gateway/access/accounts"
)

// A passkey belongs to the name under which the console was called when it was made (WebAuthn's
// relying party id), so each name is a relying party of its own. A bare address cannot be one.

// HasPasskeys tells whether passkeys can be made and used in a browser that called the website by
// this host.
func HasPasskeys(host string) bool {
	_, err := netip.ParseAddr(NameOf(host))
	return err != nil
}

// relying returns the relying party of a visit.
func (r *Registry) relying(ctx context.Context) (*webauthn.WebAuthn, error) {
	v := visitOf(ctx)
	if v == nil {
		return nil, errNoVisit
	}
	if !HasPasskeys(v.host) || !r.isOurs(v.host) {
		return nil, errNoName
	}
	rp, err := webauthn.New(&webauthn.Config{RPID: NameOf(v.host), RPDisplayName: "latchkey",
		RPOrigins: []string{"https://" + strings.ToLower(v.host)}})
	if err != nil {
		return nil, errNoName
	}
	return rp, nil
}

// holder is an account in the form that the library needs.
type holder struct{ accounts.Account }

func (h holder) WebAuthnID() []byte          { return []byte(h.ID) }
func (h holder) WebAuthnName() string        { return h.Name }
func (h holder) WebAuthnDisplayName() string { return h.Name }

func (h holder) WebAuthnCredentials() (out []webauthn.Credential) {
	for _, k := range h.Passkeys {
		var c webauthn.Credential
		if json.Unmarshal(k.Credential, &c) == nil { // a record that cannot be read lets nobody in
			out = append(out, c)
		}
	}
	return out
}

// errPasskey is the same whatever was wrong, so that a try reveals nothing.
var errPasskey = &Refusal{Status: http.StatusUnauthorized, Type: TypeWrong,
	Detail: "this passkey does not fit here. Use another one, or another way"}

var errNoName = &Refusal{Status: http.StatusConflict,
	Detail: "passkeys need a name in the address: call the website by its name instead of its number"}

var errUnmade = &Refusal{Status: http.StatusUnprocessableEntity,
	Detail: "the browser made no passkey that fits here. Try again, or use one-time codes"}

// AskPasskey gives a browser a challenge to sign, before we know whose passkey it will be. The
// answer is for the browser's script.
func (r *Registry) AskPasskey(ctx context.Context) (any, error) {
	rp, err := r.relying(ctx)
	if err != nil {
		return nil, err
	}
	options, _, err := beginLogin(rp, r.challenges.make(toSignIn, rp.Config.RPID))
	if err != nil {
		return nil, fmt.Errorf("passkey: %w", err)
	}
	return options.Response, nil
}

// beginLogin makes two things from a challenge: the options that the browser gets, and the session
// that its answer is compared with.
func beginLogin(rp *webauthn.WebAuthn, challenge []byte) (
	*protocol.CredentialAssertion, *webauthn.SessionData, error,
) {
	return rp.BeginDiscoverableLogin(webauthn.WithUserVerification(protocol.VerificationRequired),
		webauthn.WithChallenge(challenge))
}

// passkeyFits returns the account whose passkey has signed a challenge of ours.
func (r *Registry) passkeyFits(ctx context.Context, signed string) (accounts.Account, error) {
	rp, err := r.relying(ctx)
	if err != nil {
		return accounts.Account{}, err
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes([]byte(signed))
	if err != nil {
		return accounts.Account{}, errPasskey
	}
	challenge, made, ok := r.challenges.read(toSignIn, rp.Config.RPID,
		parsed.Response.CollectedClientData.Challenge)
	if !ok {
		return accounts.Account{}, errPasskey
	}
	_, session, err := beginLogin(rp, challenge)
	if err != nil {
		return accounts.Account{}, fmt.Errorf("passkey: %w", err)
	}
	var account accounts.Account
	find := func(_, handle []byte) (webauthn.User, error) {
		var ok bool
		if account, ok = r.account(access.ID(handle)); !ok { // the handle is an id, never a name
			return nil, errPasskey
		}
		return holder{account}, nil
	}
	_, used, err := rp.ValidatePasskeyLogin(find, *session, parsed)
	switch {
	case err != nil:
		r.cfg.Log.Debug("passkey refused", "from", visitOf(ctx).from(), "err", err) // anybody can cause this line
		return accounts.Account{}, errPasskey
	case used.Authenticator.CloneWarning:
		r.cfg.Log.Warn("passkey refused: its counter went back, so there may be a copy of it", "account",
			account.Name)
		return accounts.Account{}, errPasskey
	case !r.challenges.use(account.ID, made):
		return accounts.Account{}, errPasskey
	}
	return account, r.keepPasskey(ctx, account, used)
}

// keepPasskey stores the new counter of a passkey that has one.
func (r *Registry) keepPasskey(ctx context.Context, account accounts.Account, used *webauthn.Credential) error {
	now, err := json.Marshal(used)
	if err != nil {
		return fmt.Errorf("passkey: %w", err)
	}
	same := func(k accounts.Passkey) bool { return bytes.Equal(k.ID, used.ID) }
	if i := slices.IndexFunc(account.Passkeys, same); i < 0 || bytes.Equal(account.Passkeys[i].Credential,
		now) {
		return nil
	}
	return r.edit(ctx, PrincipalOf(ctx).Actor(), account.ID, func(a *accounts.Account) error {
		i := slices.IndexFunc(a.Passkeys, same)
		if i < 0 {
			return errPasskey
		}
		a.Passkeys[i].Credential = now
		return nil
	})
}

// AskNewPasskey tells the browser of a visitor who has signed in which passkey to make. The answer
// is for the browser's script.
func (r *Registry) AskNewPasskey(ctx context.Context) (any, error) {
	rp, err := r.relying(ctx)
	if err != nil {
		return nil, err
	}
	a := r.visitor(ctx)
	options, _, err := beginRegistration(rp, a, r.challenges.make(toAdd(a.ID), rp.Config.RPID))
	if err != nil {
		return nil, fmt.Errorf("passkey: %w", err)
	}
	return options.Response, nil
}

// beginRegistration does what beginLogin does, for a new passkey of the account.
func beginRegistration(rp *webauthn.WebAuthn, a accounts.Account, challenge []byte) (
	*protocol.CredentialCreation, *webauthn.SessionData, error,
) {
	var has []protocol.CredentialDescriptor
	for _, c := range (holder{a}).WebAuthnCredentials() {
		has = append(has, c.Descriptor())
	}
	ours := func(o *protocol.PublicKeyCredentialCreationOptions) error {
		o.Challenge = challenge
		return nil
	}
	return rp.BeginRegistration(holder{a}, webauthn.WithExclusions(has), ours,
		webauthn.WithAuthenticatorSelection(protocol.AuthenticatorSelection{ResidentKey: protocol.ResidentKeyRequirementRequired,
			UserVerification: protocol.VerificationRequired}))
}

// AddPasskey adds the passkey that the browser made to the account that has signed in.
func (r *Registry) AddPasskey(ctx context.Context, label, made string) error {
	rp, err := r.relying(ctx)
	if err != nil {
		return err
	}
	a := r.visitor(ctx)
	parsed, err := protocol.ParseCredentialCreationResponseBytes([]byte(made))
	if err != nil {
		return errUnmade
	}
	challenge, asked, ok := r.challenges.read(toAdd(a.ID), rp.Config.RPID,
		parsed.Response.CollectedClientData.Challenge)
	if !ok {
		return errUnmade
	}
	_, session, err := beginRegistration(rp, a, challenge)
	if err != nil {
		return fmt.Errorf("passkey: %w", err)
	}
	key, err := rp.CreateCredential(holder{a}, *session, parsed)
	if err == nil && !r.challenges.use(a.ID, asked) {
		err = errPasskey
	}
	if err != nil {
		r.cfg.Log.Info("passkey not taken", "account", a.Name, "err", err)
		return errUnmade
	}
	credential, err := json.Marshal(key)
	if err != nil {
		return fmt.Errorf("passkey: %w", err)
	}
	created := r.cfg.Now().UTC().Truncate(time.Second)
	err = r.edit(ctx, PrincipalOf(ctx).Actor(), a.ID, func(a *accounts.Account) error {
		a.Passkeys = append(a.Passkeys, accounts.Passkey{ID: key.ID, Label: label, Credential: credential,
			Created: created})
		return nil
	})
	if err == nil {
		r.StepAdded(ctx, a.ID)
	}
	return err
}
