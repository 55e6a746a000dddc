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
	"sync"
	"time"

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

const (
	challengeFor      = 5 * time.Minute
	maxChallenges     = 1000
	challengesForAddr = 16 // so that nobody can make another's void by asking for many
)

// challenges are those that browsers were asked to sign, in memory and good for one answer.
type challenges struct {
	mu sync.Mutex
	of map[string]challenge // guarded by mu; by the challenge itself
}

type challenge struct {
	session webauthn.SessionData
	from    string
	made    time.Time
}

func (c *challenges) keep(session webauthn.SessionData, from string, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = map[string]challenge{}
	}
	same, oldest, oldestSame := 0, "", ""
	for key, ch := range c.of {
		if now.Sub(ch.made) > challengeFor {
			delete(c.of, key)
			continue
		}
		if oldest == "" || ch.made.Before(c.of[oldest].made) {
			oldest = key
		}
		if ch.from == from {
			same++
			if oldestSame == "" || ch.made.Before(c.of[oldestSame].made) {
				oldestSame = key
			}
		}
	}
	switch {
	case same >= challengesForAddr:
		delete(c.of, oldestSame)
	case len(c.of) >= maxChallenges:
		delete(c.of, oldest)
	}
	c.of[session.Challenge] = challenge{session, from, now}
}

// take returns what was kept of a challenge, once.
func (c *challenges) take(text string, now time.Time) (webauthn.SessionData, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ch, ok := c.of[text]
	delete(c.of, text)
	return ch.session, ok && now.Sub(ch.made) <= challengeFor
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
	options, session, err := rp.BeginDiscoverableLogin(webauthn.WithUserVerification(protocol.VerificationRequired))
	if err != nil {
		return fmt.Errorf("console: passkey: %w", err)
	}
	v.challenges.keep(*session, from(v.r), v.cfg.Now())
	return v.answer(options.Response)
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
	session, ok := v.challenges.take(parsed.Response.CollectedClientData.Challenge, v.cfg.Now())
	if !ok {
		return admin.Account{}, errPasskey
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
	_, used, err := rp.ValidatePasskeyLogin(find, session, parsed)
	switch {
	case err != nil:
		v.cfg.Log.Info("passkey refused", "from", from(v.r), "err", err)
		return admin.Account{}, errPasskey
	case used.Authenticator.CloneWarning:
		v.cfg.Log.Warn("passkey refused: its counter went back, so there may be a copy of it", "account", account.Name)
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
			return v.call(http.MethodPut, path, admin.PasskeyChange{Credential: now}, nil)
		}
	}
	return nil
}

// signInPasskey signs in whoever has the passkey. It asks for a finger or a code of its own, so it is both steps.
func (v *visit) signInPasskey() error {
	account, err := v.passkeyFits(v.r.PostForm.Get("step-passkey"))
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
	var known []protocol.CredentialDescriptor
	for _, c := range (holder{v.account}).WebAuthnCredentials() {
		known = append(known, c.Descriptor())
	}
	options, session, err := rp.BeginRegistration(holder{v.account}, webauthn.WithExclusions(known),
		webauthn.WithAuthenticatorSelection(protocol.AuthenticatorSelection{ResidentKey: protocol.ResidentKeyRequirementRequired,
			UserVerification: protocol.VerificationRequired}))
	if err != nil {
		return fmt.Errorf("console: passkey: %w", err)
	}
	v.challenges.keep(*session, from(v.r), v.cfg.Now())
	return v.answer(options.Response)
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
	session, ok := v.challenges.take(parsed.Response.CollectedClientData.Challenge, v.cfg.Now())
	if !ok {
		return v.again(unmade, (*visit).showAccount)
	}
	made, err := rp.CreateCredential(holder{v.account}, session, parsed)
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
