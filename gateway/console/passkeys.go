package console

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"latchkey/gateway/admin"
)

// A passkey belongs to the name under which the console was called when it was made (WebAuthn's relying party id), so each name is its own
// relying party, and a bare address is none.

// relying returns the relying party of a request, and false where there can be none.
func relying(r *http.Request) (*webauthn.WebAuthn, bool) {
	name := r.Host
	if host, _, err := net.SplitHostPort(r.Host); err == nil {
		name = host
	}
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return nil, false
	}
	rp, err := webauthn.New(&webauthn.Config{RPID: strings.ToLower(name), RPDisplayName: "latchkey", RPOrigins: []string{"https://" + strings.ToLower(r.Host)}})
	return rp, err == nil
}

// holder is an account as the library asks for it.
type holder struct{ admin.Account }

func (h holder) WebAuthnID() []byte          { return []byte(h.ID) }
func (h holder) WebAuthnName() string        { return h.Name }
func (h holder) WebAuthnDisplayName() string { return h.Name }

func (h holder) WebAuthnCredentials() (out []webauthn.Credential) {
	for _, k := range h.Passkeys {
		var c webauthn.Credential
		if json.Unmarshal(k.Credential, &c) == nil { // one that cannot be read lets nobody in
			out = append(out, c)
		}
	}
	return out
}

// errPasskey is the same whatever was wrong: who is refused learns nothing by trying.
var errPasskey = problem{Status: http.StatusUnauthorized, Detail: "This passkey does not fit here. Use another one, or another way."}

var errNoName = problem{Status: http.StatusConflict, Detail: "Passkeys need a name in the address: call the console by its name instead of its number."}

// beginPasskey gives a browser something to sign, for whoever it may be.
func (v *visit) beginPasskey() error {
	rp, ok := relying(v.r)
	if !ok {
		return errNoName
	}
	options, _, err := beginLogin(rp, v.challenges.make(toSignIn, rp.Config.RPID))
	if err != nil {
		return fmt.Errorf("console: passkey: %w", err)
	}
	return v.answer(options.Response)
}

// beginLogin makes what a browser is asked, and what its answer is compared with, from a challenge.
func beginLogin(rp *webauthn.WebAuthn, challenge []byte) (*protocol.CredentialAssertion, *webauthn.SessionData, error) {
	return rp.BeginDiscoverableLogin(webauthn.WithUserVerification(protocol.VerificationRequired), webauthn.WithChallenge(challenge))
}

func (v *visit) answer(in any) error {
	v.w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(v.w).Encode(in)
}

// passkeyFits returns whose passkey has signed a challenge of ours.
func (v *visit) passkeyFits(signed string) (admin.Account, error) {
	rp, ok := relying(v.r)
	if !ok {
		return admin.Account{}, errNoName
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes([]byte(signed))
	if err != nil {
		return admin.Account{}, errPasskey
	}
	challenge, made, ok := v.challenges.read(toSignIn, rp.Config.RPID, parsed.Response.CollectedClientData.Challenge)
	if !ok {
		return admin.Account{}, errPasskey
	}
	_, session, err := beginLogin(rp, challenge)
	if err != nil {
		return admin.Account{}, fmt.Errorf("console: passkey: %w", err)
	}
	var account admin.Account
	find := func(_, handle []byte) (webauthn.User, error) {
		if account, err = v.accountOf(string(handle)); err != nil {
			return nil, err
		}
		if string(account.ID) != string(handle) || account.Disabled { // the handle is an id, never a name
			return nil, errPasskey
		}
		return holder{account}, nil
	}
	_, used, err := rp.ValidatePasskeyLogin(find, *session, parsed)
	switch {
	case err != nil:
		v.cfg.Log.Debug("passkey refused", "from", from(v.r), "err", err) // whoever likes can make one of these
		return admin.Account{}, errPasskey
	case used.Authenticator.CloneWarning:
		v.cfg.Log.Warn("passkey refused: its counter went back, so there may be a copy of it", "account", account.Name)
		return admin.Account{}, errPasskey
	case !v.challenges.use(account.ID, made):
		return admin.Account{}, errPasskey
	}
	return account, v.passkeyUsed(account, used)
}

// passkeyUsed keeps the counter of a passkey that counts.
func (v *visit) passkeyUsed(account admin.Account, used *webauthn.Credential) error {
	now, err := json.Marshal(used)
	if err != nil {
		return fmt.Errorf("console: passkey: %w", err)
	}
	for _, k := range account.Passkeys {
		if bytes.Equal(k.ID, used.ID) && !bytes.Equal(k.Credential, now) {
			path := "/v1/accounts/" + string(account.ID) + "/passkeys/" + base64.RawURLEncoding.EncodeToString(k.ID)
			return v.callItself(http.MethodPut, path, admin.PasskeyChange{Credential: now}, nil)
		}
	}
	return nil
}

// signInPasskey signs in whoever has the passkey. It asks for a finger or a code of its own, so it is both steps.
func (v *visit) signInPasskey() error {
	if v.noStep() {
		return v.again(errNoStep, (*visit).showSignIn)
	}
	account, err := v.passkeyFits(v.field("step-passkey"))
	if err != nil {
		return v.again(err, (*visit).showSignIn)
	}
	if err := v.sessions.RenewToken(v.r.Context()); err != nil {
		return err
	}
	return v.signedIn(account, "passkey", true)
}

// beginNewPasskey tells a browser what to make.
func (v *visit) beginNewPasskey() error {
	rp, ok := relying(v.r)
	if !ok {
		return errNoName
	}
	options, _, err := v.beginRegistration(rp, v.challenges.make(toAdd(v.account), rp.Config.RPID))
	if err != nil {
		return fmt.Errorf("console: passkey: %w", err)
	}
	return v.answer(options.Response)
}

// beginRegistration is as beginLogin, for a new passkey of whoever is signed in.
func (v *visit) beginRegistration(rp *webauthn.WebAuthn, challenge []byte) (*protocol.CredentialCreation, *webauthn.SessionData, error) {
	var has []protocol.CredentialDescriptor
	for _, c := range (holder{v.account}).WebAuthnCredentials() {
		has = append(has, c.Descriptor())
	}
	ours := func(o *protocol.PublicKeyCredentialCreationOptions) error {
		o.Challenge = challenge
		return nil
	}
	return rp.BeginRegistration(holder{v.account}, webauthn.WithExclusions(has), ours,
		webauthn.WithAuthenticatorSelection(protocol.AuthenticatorSelection{ResidentKey: protocol.ResidentKeyRequirementRequired,
			UserVerification: protocol.VerificationRequired}))
}

func (v *visit) addPasskey() error {
	rp, ok := relying(v.r)
	if !ok {
		return v.again(errNoName, (*visit).showAccount)
	}
	unmade := problem{Status: http.StatusUnprocessableEntity, Detail: "The browser made no passkey that fits here. Try again, or use one-time codes."}
	parsed, err := protocol.ParseCredentialCreationResponseBytes([]byte(v.r.PostForm.Get("made")))
	if err != nil {
		return v.again(unmade, (*visit).showAccount)
	}
	challenge, asked, ok := v.challenges.read(toAdd(v.account), rp.Config.RPID, parsed.Response.CollectedClientData.Challenge)
	if !ok {
		return v.again(unmade, (*visit).showAccount)
	}
	_, session, err := v.beginRegistration(rp, challenge)
	if err != nil {
		return fmt.Errorf("console: passkey: %w", err)
	}
	made, err := rp.CreateCredential(holder{v.account}, *session, parsed)
	if err == nil && !v.challenges.use(v.account.ID, asked) {
		err = errPasskey
	}
	if err != nil {
		v.cfg.Log.Info("passkey not taken", "account", v.account.Name, "err", err)
		return v.again(unmade, (*visit).showAccount)
	}
	credential, err := json.Marshal(made)
	if err != nil {
		return fmt.Errorf("console: passkey: %w", err)
	}
	in := admin.NewPasskey{Label: v.field("label"), ID: made.ID, Credential: credential}
	if err := v.post(v.own()+"/passkeys", in, &v.account); err != nil {
		return v.again(err, (*visit).showAccount)
	}
	return v.stepAdded("The passkey is yours now. It is for " + rp.Config.RPID + " only.")
}

func (v *visit) removePasskey() error {
	if err := v.call(http.MethodDelete, v.own()+"/passkeys/"+v.ref("passkey"), nil, &v.account); err != nil {
		return v.again(err, (*visit).showAccount)
	}
	return v.renewed("The passkey is removed.")
}

// stepAdded goes on as if the new step had been given: to make it, it was.
func (v *visit) stepAdded(text string) error {
	v.remember(sessionSecond)
	v.remember(sessionConfirmed)
	return v.done("/account", "%s", text)
}
