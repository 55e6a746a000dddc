package console

import (
	"encoding/base64"
	"net/http"

	"latchkey/gateway/account"
	"latchkey/gateway/admin/api"
)

type accountPage struct {
	Local    bool
	Second   bool // whether there is a second step
	Named    bool // whether passkeys can be made at this address
	Passkeys []passkeyRow
}

type passkeyRow struct {
	api.Passkey
	Path string // its id, for an address
}

func (v *visit) showAccount() error {
	p := accountPage{Local: v.session.Local, Second: secondStep(v.account),
		Named: account.HasPasskeys(v.r.Host)}
	for _, k := range v.account.Passkeys {
		p.Passkeys = append(p.Passkeys, passkeyRow{k, base64.RawURLEncoding.EncodeToString(k.ID)})
	}
	return v.show(v.status(), "account", p)
}

// own is the path of the account that is signed in.
func (v *visit) own() string { return "/v1/accounts/" + string(v.account.ID) }

// changePassword takes the old one, too, so that a browser that was left open is not enough.
func (v *visit) changePassword() error {
	in := api.NewOwnPassword{Old: v.r.PostForm.Get("old"), New: v.r.PostForm.Get("password")}
	if in.New != v.r.PostForm.Get("repeat") {
		return v.again(problem{Status: http.StatusUnprocessableEntity,
			Detail: "The two new passwords are not the same."}, (*visit).showAccount)
	}
	if err := v.call(http.MethodPut, "/v1/session/password", in, &v.account); err != nil {
		return v.again(err, (*visit).showAccount)
	}
	return v.done("/account", "The password is changed. Every other browser is signed out.")
}

func (v *visit) signOutEverywhere() error {
	if err := v.post(v.own()+"/sign-out", nil, &v.account); err != nil {
		return v.again(err, (*visit).showAccount)
	}
	return v.done("/account", "Every other browser is signed out.")
}

type adminsPage struct {
	Accounts []api.Account
}

func (v *visit) showAdmins() error {
	accounts, err := listOf[api.Account](v, "/v1/accounts")
	if err != nil {
		return err
	}
	return v.show(v.status(), "admins", adminsPage{accounts})
}

func (v *visit) addAdmin() error {
	var a api.Account
	in := api.NewAccount{Name: v.field("name"), Role: v.field("role"),
		Password: v.r.PostForm.Get("password")}
	if err := v.post("/v1/accounts", in, &a); err != nil {
		return v.again(err, (*visit).showAdmins)
	}
	return v.done("/admins", "%s can sign in now, as %s.", a.Name, a.Role)
}

func (v *visit) changeAdmin() error {
	change := api.AccountChange{}
	switch v.field("do") {
	case "role":
		change.Role = v.field("role")
	case "disable", "enable":
		disabled := v.field("do") == "disable"
		change.Disabled = &disabled
	case "password":
		password := v.r.PostForm.Get("password")
		change.Password = &password
	default:
		return problem{Status: http.StatusBadRequest, Detail: "Nothing to do."}
	}
	var a api.Account
	if err := v.call(http.MethodPatch, "/v1/accounts/"+v.ref("account"), change, &a); err != nil {
		return v.again(err, (*visit).showAdmins)
	}
	return v.done("/admins", "Saved.")
}

func (v *visit) removeAdmin() error {
	var done api.Changed
	if err := v.call(http.MethodDelete, "/v1/accounts/"+v.ref("account"), nil, &done); err != nil {
		return v.again(err, (*visit).showAdmins)
	}
	return v.done("/admins", "%s", changes(done))
}
