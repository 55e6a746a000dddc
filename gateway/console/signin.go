package console

import (
	"net/http"
	"net/url"
	"strings"

	"latchkey/gateway/admin/api"
)

// wantedPage returns the page that the visitor wanted before sign-in.
func (v *visit) wantedPage() string { return cleanPage(v.r.Form.Get("to")) }

// cleanPage returns the page that an address without a host names. If the address could lead to
// another site, it returns the first page.
func cleanPage(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.IsAbs() || u.Host != "" || strings.ContainsAny(to, "\\\r\n") ||
		!strings.HasPrefix(u.Path, "/") || strings.HasPrefix(u.Path, "//") {
		return "/"
	}
	return u.RequestURI()
}

func (v *visit) showSignIn() error {
	if v.account.ID != "" {
		return v.redirect(v.wantedPage())
	}
	if v.session.SetUp {
		return v.redirect("/setup")
	}
	return v.showPage(v.chooseStatus(), "sign-in", v.wantedPage())
}

// signIn signs in with a name and a password.
func (v *visit) signIn() error {
	in := api.Credentials{Name: v.readField("name"), Password: v.r.PostForm.Get("password")}
	if in.Name == "" || in.Password == "" {
		return v.showAgain(newProblem(http.StatusUnprocessableEntity,
			"Type your name and your password."), (*visit).showSignIn)
	}
	now, err := call(v, api.SignIn, api.With(in))
	if err != nil {
		return v.showAgain(err, (*visit).showSignIn)
	}
	if now.Pending != nil {
		return v.redirect("/sign-in/second?to=" + url.QueryEscape(v.wantedPage()))
	}
	return v.redirect(v.wantedPage())
}

// signInPasskey signs in with a passkey.
func (v *visit) signInPasskey() error {
	if v.lacksStep() {
		return v.showAgain(errNoStep, (*visit).showSignIn)
	}
	in := api.Credentials{Passkey: v.readField("step-passkey")}
	if _, err := call(v, api.SignIn, api.With(in)); err != nil {
		return v.showAgain(err, (*visit).showSignIn)
	}
	return v.redirect(v.wantedPage())
}

func (v *visit) showSecond() error {
	if v.session.Pending == nil {
		return v.redirect("/sign-in")
	}
	return v.showPage(v.chooseStatus(), "second", secondForm{Account: *v.session.Pending, To: v.wantedPage()})
}

type secondForm struct {
	Account api.Pending
	To      string
}

func (v *visit) signInSecond() error {
	if v.session.Pending == nil {
		return v.redirect("/sign-in")
	}
	if v.lacksStep() {
		return v.showAgain(errNoStep, (*visit).showSecond)
	}
	if _, err := call(v, api.SignInSecond, api.With(v.readStep())); err != nil {
		return v.showAgain(err, (*visit).showSecond)
	}
	return v.redirect(v.wantedPage())
}

// errNoStep answers a form without a passkey, a code or a password. It does not count as a try.
var errNoStep = newProblem(http.StatusUnprocessableEntity,
	"Neither a passkey nor a code was sent. Use a passkey, or type a code.")

func (v *visit) lacksStep() bool { return v.readStep() == api.Proof{} }

// readStep returns the second step that came with the form.
func (v *visit) readStep() api.Proof {
	code := strings.ReplaceAll(v.readField("step-code"), " ", "")
	return api.Proof{Passkey: v.readField("step-passkey"), Code: clipText(code),
		Password: v.r.PostForm.Get("step-password")}
}

// chooseStatus returns the HTTP status of a page that may show a problem.
func (v *visit) chooseStatus() int {
	switch {
	case v.mustWait:
		return http.StatusTooManyRequests
	case v.problem != "":
		return http.StatusUnprocessableEntity
	}
	return http.StatusOK
}

// clipText shortens what somebody typed before it is passed on.
func clipText(s string) string {
	const most = 256
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "")
	}
	return s
}

func hasSecondStep(a api.Account) bool { return a.TOTP || len(a.Passkeys) > 0 }

func (v *visit) signOut() error {
	if _, err := call(v, api.SignOutHere, api.Nothing{}); err != nil {
		return err
	}
	v.dropNote()
	return v.redirect("/sign-in")
}

func (v *visit) showSetup() error {
	return v.showPage(v.chooseStatus(), "setup", v.session.SetUp)
}

// setUp makes the first owner, or lets an owner back in with a new code from the machine. Tries are
// not counted, since nobody guesses a code of 80 bits: this way in must stay open while an attacker
// guesses passwords.
func (v *visit) setUp() error {
	name, password := v.readField("name"), v.r.PostForm.Get("password")
	if password != v.r.PostForm.Get("repeat") {
		return v.showAgain(newProblem(http.StatusUnprocessableEntity,
			"The two passwords are not the same."), (*visit).showSetup)
	}
	in := api.SetUpRequest{Code: clipText(v.readField("code")), Name: name, Password: password}
	if _, err := call(v, api.SetUp, api.With(in)); err != nil {
		return v.showAgain(err, (*visit).showSetup)
	}
	return v.redirect(v.wantedPage())
}
