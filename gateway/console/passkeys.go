package console

import (
	"encoding/json"
	"net/http"

	"latchkey/gateway/account"
	"latchkey/gateway/admin/api"
)

// beginPasskey gives a browser something to sign, for whoever it may be.
func (v *visit) beginPasskey() error { return v.passOn("/v1/session/passkey") }

// beginNewPasskey tells a browser what to make.
func (v *visit) beginNewPasskey() error { return v.passOn("/v1/session/passkeys/new") }

// passOn gives a browser's script what the API answers.
func (v *visit) passOn(path string) error {
	var options json.RawMessage
	if err := v.post(path, nil, &options); err != nil {
		return err
	}
	v.w.Header().Set("Content-Type", "application/json")
	_, err := v.w.Write(options)
	return err
}

func (v *visit) addPasskey() error {
	in := api.MadePasskey{Label: v.field("label"), Made: v.r.PostForm.Get("made")}
	if err := v.post("/v1/session/passkeys", in, &v.account); err != nil {
		return v.again(err, (*visit).showAccount)
	}
	return v.done("/account", "The passkey is yours now. It is for %s only.", account.NameOf(v.r.Host))
}

func (v *visit) removePasskey() error {
	if err := v.call(http.MethodDelete, v.own()+"/passkeys/"+v.ref("passkey"), nil, &v.account); err != nil {
		return v.again(err, (*visit).showAccount)
	}
	return v.done("/account", "The passkey is removed.")
}
