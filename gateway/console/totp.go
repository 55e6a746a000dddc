package console

import (
	"encoding/base64"
	"html/template"

	"rsc.io/qr"

	"latchkey/gateway/admin/api"
)

// totpPage shows a secret that is not stored yet. The form sends it back with a code, which proves
// that a phone has it.
type totpPage struct {
	Secret string
	Code   template.URL
}

func (v *visit) beginTOTP() error {
	made, err := call(v, api.MakeTOTP, v.nameAccount())
	if err != nil {
		return v.showAgain(err, (*visit).showAccount)
	}
	return v.showTOTP(made.Secret, made.URI)
}

func (v *visit) showTOTP(secret, uri string) error {
	p := totpPage{Secret: secret}
	if code, err := qr.Encode(uri, qr.M); uri != "" && err == nil {
		p.Code = template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(code.PNG()))
	}
	return v.showPage(v.chooseStatus(), "totp", p)
}

func (v *visit) setTOTP() error {
	secret := clipText(v.readField("secret"))
	in := api.TOTPChange{Secret: secret, Code: clipText(v.readField("code"))}
	if err := v.keepAccount(call(v, api.SetTOTP, api.AtWith(v.account.ID, in))); err != nil {
		return v.showAgain(err, func(v *visit) error { return v.showTOTP(secret, "") })
	}
	return v.reportDone("/account", "From now on you are asked for a code.")
}

func (v *visit) removeTOTP() error {
	if err := v.keepAccount(call(v, api.RemoveTOTP, v.nameAccount())); err != nil {
		return v.showAgain(err, (*visit).showAccount)
	}
	return v.reportDone("/account", "You are not asked for codes any more.")
}
