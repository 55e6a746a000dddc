package console

import (
	"encoding/base64"
	"net/http"

	"latchkey/gateway/account"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/console/page"
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
	p := accountPage{Local: v.session.Local, Second: hasSecondStep(v.account),
		Named: account.HasPasskeys(v.r.Host)}
	for _, k := range v.account.Passkeys {
		p.Passkeys = append(p.Passkeys, passkeyRow{k, base64.RawURLEncoding.EncodeToString(k.ID)})
	}
	return v.showPage(v.chooseStatus(), "account", p)
}

// nameAccount returns the input that names the account which is signed in.
func (v *visit) nameAccount() api.ByRef { return api.At(v.account.ID) }

// keepAccount replaces the visit's account by the changed one.
func (v *visit) keepAccount(now api.Account, err error) error {
	if err == nil {
		v.account = now
	}
	return err
}

// changePassword requires the old password too, so that nobody can change it from a browser that
// was left open.
func (v *visit) changePassword() error {
	in := api.NewOwnPassword{Old: v.r.PostForm.Get("old"), New: v.r.PostForm.Get("password")}
	if in.New != v.r.PostForm.Get("repeat") {
		return v.showAgain(newProblem(http.StatusUnprocessableEntity,
			"The two new passwords are not the same."), (*visit).showAccount)
	}
	if err := v.keepAccount(call(v, api.ChangePassword, api.With(in))); err != nil {
		return v.showAgain(err, (*visit).showAccount)
	}
	return v.reportDone("/account", "The password is changed. Every other browser is signed out.")
}

func (v *visit) signOutEverywhere() error {
	if err := v.keepAccount(call(v, api.SignOut, v.nameAccount())); err != nil {
		return v.showAgain(err, (*visit).showAccount)
	}
	return v.reportDone("/account", "Every other browser is signed out.")
}

type adminsPage struct {
	Accounts []api.Account
}

func (v *visit) showAdmins() error {
	accounts, err := list(v, api.ListAccounts, api.ListQuery{})
	if err != nil {
		return err
	}
	return v.showPage(v.chooseStatus(), "admins", adminsPage{accounts})
}

func (v *visit) addAdmin() error {
	in := api.NewAccount{Name: v.readField("name"), Role: v.readField("role"),
		Password: v.r.PostForm.Get("password")}
	a, err := call(v, api.AddAccount, api.With(in))
	if err != nil {
		return v.showAgain(err, (*visit).showAdmins)
	}
	return v.reportDone("/admins", "%s can sign in now, as %s.", a.Name, a.Role)
}

func (v *visit) changeAdmin() error {
	change := api.AccountChange{}
	switch v.readField("do") {
	case "role":
		change.Role = v.readField("role")
	case "disable", "enable":
		disabled := v.readField("do") == "disable"
		change.Disabled = &disabled
	case "password":
		password := v.r.PostForm.Get("password")
		change.Password = &password
	default:
		return newProblem(http.StatusBadRequest, "Nothing to do.")
	}
	if _, err := call(v, api.ChangeAccount, api.AtWith(v.r.PathValue("account"), change)); err != nil {
		return v.showAgain(err, (*visit).showAdmins)
	}
	return v.reportDone("/admins", "Saved.")
}

func (v *visit) removeAdmin() error {
	done, err := call(v, api.RemoveAccount, v.readRef("account"))
	if err != nil {
		return v.showAgain(err, (*visit).showAdmins)
	}
	return v.reportDone("/admins", "%s", page.DescribeChanges(done))
}
