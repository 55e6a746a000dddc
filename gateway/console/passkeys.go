package console

import (
	"context"

	"latchkey/gateway/account"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/client"
)

// beginPasskey gives a browser a challenge to sign, before we know whose passkey it will be.
func (v *visit) beginPasskey() error { return passOn(v, api.AskPasskey) }

// beginNewPasskey gives a browser the options for a new passkey.
func (v *visit) beginNewPasskey() error { return passOn(v, api.AskNewPasskey) }

// passOn passes the API's answer on to a browser's script.
func passOn(v *visit, op api.Operation[api.Nothing, any]) error {
	ctx, cancel := context.WithTimeout(v.r.Context(), callWait)
	defer cancel()
	options, err := client.CallRaw(ctx, v.send, op, api.Nothing{})
	if err != nil {
		return err
	}
	v.w.Header().Set("Content-Type", "application/json")
	_, err = v.w.Write(options)
	return err
}

func (v *visit) addPasskey() error {
	in := api.MadePasskey{Label: v.readField("label"), Made: v.r.PostForm.Get("made")}
	if err := v.keepAccount(call(v, api.AddOwnPasskey, api.With(in))); err != nil {
		return v.showAgain(err, (*visit).showAccount)
	}
	return v.reportDone("/account", "The passkey is yours now. It is for %s only.", account.NameOf(v.r.Host))
}

func (v *visit) removePasskey() error {
	in := api.PasskeyInput{ByRef: v.nameAccount(), ID: v.r.PathValue("passkey")}
	if err := v.keepAccount(call(v, api.RemovePasskey, in)); err != nil {
		return v.showAgain(err, (*visit).showAccount)
	}
	return v.reportDone("/account", "The passkey is removed.")
}
