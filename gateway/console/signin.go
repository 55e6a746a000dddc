package console

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"latchkey/gateway/admin"
)

// pendingFor is how long a right password waits for its second step: longer than somebody who typed wrong codes has to wait.
const pendingFor = 2 * longestWait

// fits is the API's answer to a check of a password or a code.
type fits struct {
	Fits    bool          `json:"fits"`
	Account admin.Account `json:"account"`
}

func (v *visit) accountOf(id string) (admin.Account, error) {
	var a admin.Account
	err := v.callItself(http.MethodGet, "/v1/accounts/"+escape(id), nil, &a)
	if p := (problem{}); errors.As(err, &p) && p.Status == http.StatusNotFound {
		return admin.Account{}, nil
	}
	return a, err
}

func (v *visit) setupNeeded() (bool, error) {
	var s struct {
		Needed bool `json:"needed"`
	}
	err := v.get("/v1/setup", &s)
	return s.Needed, err
}

// to is where somebody wanted to go.
func (v *visit) to() string { return ours(v.r.Form.Get("to")) }

// ours is the page that an address without a host names; the first where that could be another site's.
func ours(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(u.Path, "/") || strings.HasPrefix(u.Path, "//") || strings.ContainsAny(to, "\\\r\n") {
		return "/"
	}
	return u.RequestURI()
}

func (v *visit) showSignIn() error {
	if v.account.ID != "" {
		return v.redirect(v.to())
	}
	needed, err := v.setupNeeded()
	if err != nil {
		return err
	}
	if needed {
		return v.redirect("/setup")
	}
	return v.show(v.status(), "sign-in", v.to())
}

// signIn takes a name and a password. The answer to a wrong one is the same whether there is such an account or not, and takes as long.
func (v *visit) signIn() error {
	name, password := v.field("name"), v.r.PostForm.Get("password")
	if name == "" || password == "" {
		return v.again(problem{Status: http.StatusUnprocessableEntity, Detail: "Type your name and your password."}, (*visit).showSignIn)
	}
	id, nonce, err := v.knowsName(name)
	if err != nil {
		return err
	}
	t, err := v.try(wrongPassword, name, id, nonce)
	if err != nil {
		return v.again(err, (*visit).showSignIn)
	}
	account, err := v.checkPassword(t, password)
	if err != nil {
		return v.again(err, (*visit).showSignIn)
	}
	if account.ID == "" {
		return v.again(problem{Status: http.StatusUnauthorized, Detail: "The name or the password is wrong."}, (*visit).showSignIn)
	}
	ctx := v.r.Context()
	if err := v.sessions.RenewToken(ctx); err != nil {
		return err
	}
	if secondStep(account) {
		v.sessions.Put(ctx, sessionPending, string(account.ID))
		v.remember(sessionPendingAt)
		v.sessions.SetDeadline(ctx, v.cfg.Now().Add(pendingFor)) // the store keeps so many, and what ends first makes room
		return v.redirect("/sign-in/second?to=" + url.QueryEscape(v.to()))
	}
	return v.signedIn(account, "password", false)
}

func (v *visit) showSecond() error {
	account, err := v.pending()
	if err != nil || account.ID == "" {
		return errors.Join(err, v.redirect("/sign-in"))
	}
	return v.show(v.status(), "second", secondForm{Account: account, To: v.to()})
}

type secondForm struct {
	Account admin.Account
	To      string
}

func (v *visit) signInSecond() error {
	account, err := v.pending()
	if err != nil || account.ID == "" {
		return errors.Join(err, v.redirect("/sign-in"))
	}
	if v.noStep() {
		return v.again(errNoStep, (*visit).showSecond)
	}
	what, ok, err := v.secondFits(account)
	if err != nil {
		return v.again(err, (*visit).showSecond)
	}
	if !ok {
		return v.again(problem{Status: http.StatusUnauthorized, Detail: "That " + what + " is wrong, or was used already."}, (*visit).showSecond)
	}
	if err := v.sessions.RenewToken(v.r.Context()); err != nil {
		return err
	}
	return v.signedIn(account, "password and "+what, true)
}

// pending is the account whose password was given a moment ago.
func (v *visit) pending() (admin.Account, error) {
	ctx := v.r.Context()
	id := v.sessions.GetString(ctx, sessionPending)
	if id == "" || v.since(sessionPendingAt) > pendingFor {
		return admin.Account{}, nil
	}
	a, err := v.accountOf(id)
	if a.Disabled {
		return admin.Account{}, err
	}
	return a, err
}

// errNoStep answers a form without a passkey, a code or a password: that is nobody's try.
var errNoStep = problem{Status: http.StatusUnprocessableEntity, Detail: "Nothing was sent that shows who you are. Use a passkey, or type a code."}

func (v *visit) noStep() bool {
	return v.field("step-code") == "" && v.r.PostForm.Get("step-password") == "" && v.field("step-passkey") == ""
}

// secondFits checks a passkey or a one-time code, whichever came with the form, and says which it was. Codes can be guessed, so they are
// counted; passkeys cannot.
func (v *visit) secondFits(of admin.Account) (what string, ok bool, err error) {
	signed := v.field("step-passkey")
	if signed == "" {
		ok, err = v.codeFits(of)
		return "one-time code", ok, err
	}
	account, err := v.passkeyFits(signed)
	if errors.Is(err, errPasskey) {
		err = nil
	}
	return "passkey", err == nil && account.ID == of.ID, err
}

// codeFits checks the one-time code that was typed. Each fits once.
func (v *visit) codeFits(of admin.Account) (bool, error) {
	t, err := v.try(wrongCode, of.Name, of.ID, v.knows(of.ID))
	if err != nil {
		return false, err
	}
	var got fits
	code := strings.ReplaceAll(v.field("step-code"), " ", "")
	if of.TOTP {
		err = v.callItself(http.MethodPost, "/v1/accounts/"+string(of.ID)+"/totp/check", map[string]string{"code": clip(code)}, &got)
	}
	return got.Fits, v.settle(t, got.Fits, err)
}

// signedIn begins a sign-in. The caller has given the browser a new cookie.
func (v *visit) signedIn(account admin.Account, how string, second bool) error {
	ctx := v.r.Context()
	v.rememberBrowser(account.ID)
	v.guesses.forget(account.Name)
	v.sessions.Remove(ctx, sessionPending)
	v.sessions.Remove(ctx, sessionPendingAt)
	v.sessions.Put(ctx, sessionAccount, string(account.ID))
	v.sessions.Put(ctx, sessionEpoch, int64(account.Epoch))
	v.remember(sessionSeen)
	v.remember(sessionConfirmed)
	if second {
		v.remember(sessionSecond)
	}
	v.account = account
	if err := v.note(account.Name, how, 0); err != nil {
		return err
	}
	return v.redirect(v.to())
}

// note makes an event of a sign-in, or of so many that were refused.
func (v *visit) note(name, how string, failed int) error {
	return v.callItself(http.MethodPost, "/v1/sign-ins", map[string]any{"account": clip(name), "from": from(v.r), "how": how, "failed": failed}, nil)
}

// status is that of a page which says that something is wrong.
func (v *visit) status() int {
	switch {
	case v.wait > 0:
		return http.StatusTooManyRequests
	case v.problem != "":
		return http.StatusUnprocessableEntity
	}
	return http.StatusOK
}

// clip bounds what somebody typed before it goes anywhere.
func clip(s string) string {
	const most = 256
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "")
	}
	return s
}

func secondStep(a admin.Account) bool { return a.TOTP || len(a.Passkeys) > 0 }

func (v *visit) signOut() error {
	if err := v.sessions.Destroy(v.r.Context()); err != nil {
		return err
	}
	return v.redirect("/sign-in")
}

func (v *visit) showSetup() error {
	needed, err := v.setupNeeded()
	if err != nil {
		return err
	}
	return v.show(v.status(), "setup", needed)
}

// setUp makes the first owner, or lets somebody back in who has read a new code at the machine. Nobody guesses a code of 80 bits, so tries
// are not counted: this is the way in that must be open while somebody guesses passwords.
func (v *visit) setUp() error {
	name, password := v.field("name"), v.r.PostForm.Get("password")
	if password != v.r.PostForm.Get("repeat") {
		return v.again(problem{Status: http.StatusUnprocessableEntity, Detail: "The two passwords are not the same."}, (*visit).showSetup)
	}
	var account admin.Account
	if err := v.post("/v1/setup", map[string]string{"code": clip(v.field("code")), "name": name, "password": password}, &account); err != nil {
		return v.again(err, (*visit).showSetup)
	}
	if err := v.sessions.RenewToken(v.r.Context()); err != nil {
		return err
	}
	return v.signedIn(account, "set-up code", false)
}
