package console

import (
	"net/http"
	"net/url"
	"strings"

	"latchkey/gateway/admin/api"
)

func (v *visit) setupNeeded() (bool, error) {
	var s struct {
		Needed bool `json:"needed"`
	}
	err := v.get("/v1/setup", &s)
	return s.Needed, err
}

// to is where somebody wanted to go.
func (v *visit) to() string { return ours(v.r.Form.Get("to")) }

// ours is the page that an address without a host names; the first where that could be another
// site's.
func ours(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(u.Path, "/") || strings.HasPrefix(u.Path,
		"//") || strings.ContainsAny(to, "\\\r\n") {
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

// signIn takes a name and a password.
func (v *visit) signIn() error {
	in := api.Credentials{Name: v.field("name"), Password: v.r.PostForm.Get("password")}
	if in.Name == "" || in.Password == "" {
		return v.again(problem{Status: http.StatusUnprocessableEntity,
			Detail: "Type your name and your password."}, (*visit).showSignIn)
	}
	var now api.Session
	if err := v.post("/v1/session", in, &now); err != nil {
		return v.again(err, (*visit).showSignIn)
	}
	if now.Pending != nil {
		return v.redirect("/sign-in/second?to=" + url.QueryEscape(v.to()))
	}
	return v.redirect(v.to())
}

// signInPasskey signs in whoever has the passkey.
func (v *visit) signInPasskey() error {
	if v.noStep() {
		return v.again(errNoStep, (*visit).showSignIn)
	}
	if err := v.post("/v1/session", api.Credentials{Passkey: v.field("step-passkey")}, nil); err != nil {
		return v.again(err, (*visit).showSignIn)
	}
	return v.redirect(v.to())
}

func (v *visit) showSecond() error {
	if v.session.Pending == nil {
		return v.redirect("/sign-in")
	}
	return v.show(v.status(), "second", secondForm{Account: *v.session.Pending, To: v.to()})
}

type secondForm struct {
	Account api.Pending
	To      string
}

func (v *visit) signInSecond() error {
	if v.session.Pending == nil {
		return v.redirect("/sign-in")
	}
	if v.noStep() {
		return v.again(errNoStep, (*visit).showSecond)
	}
	if err := v.post("/v1/session/second", v.stepTyped(), nil); err != nil {
		return v.again(err, (*visit).showSecond)
	}
	return v.redirect(v.to())
}

// errNoStep answers a form without a passkey, a code or a password: that is nobody's try.
var errNoStep = problem{Status: http.StatusUnprocessableEntity,
	Detail: "Nothing was sent that shows who you are. Use a passkey, or type a code."}

func (v *visit) noStep() bool { return v.stepTyped() == api.Proof{} }

// stepTyped is what came with the form to show who it is.
func (v *visit) stepTyped() api.Proof {
	return api.Proof{Passkey: v.field("step-passkey"), Code: clip(strings.ReplaceAll(v.field("step-code"),
		" ", "")),
		Password: v.r.PostForm.Get("step-password")}
}

// status is that of a page which says that something is wrong.
func (v *visit) status() int {
	switch {
	case v.mustWait:
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

func secondStep(a api.Account) bool { return a.TOTP || len(a.Passkeys) > 0 }

func (v *visit) signOut() error {
	if err := v.call(http.MethodDelete, "/v1/session", nil, nil); err != nil {
		return err
	}
	v.dropNote()
	return v.redirect("/sign-in")
}

func (v *visit) showSetup() error {
	needed, err := v.setupNeeded()
	if err != nil {
		return err
	}
	return v.show(v.status(), "setup", needed)
}

// setUp makes the first owner, or lets somebody back in who has read a new code at the machine.
// Nobody guesses a code of 80 bits, so tries are not counted: this is the way in that must be open
// while somebody guesses passwords.
func (v *visit) setUp() error {
	name, password := v.field("name"), v.r.PostForm.Get("password")
	if password != v.r.PostForm.Get("repeat") {
		return v.again(problem{Status: http.StatusUnprocessableEntity,
			Detail: "The two passwords are not the same."}, (*visit).showSetup)
	}
	in := api.SetUpRequest{Code: clip(v.field("code")), Name: name, Password: password}
	if err := v.post("/v1/setup", in, nil); err != nil {
		return v.again(err, (*visit).showSetup)
	}
	return v.redirect(v.to())
}
