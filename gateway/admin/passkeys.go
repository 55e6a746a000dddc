package admin

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"

	"latchkey/gateway/access"
	"latchkey/gateway/access/accounts"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/route"
)

func (a *server) addPasskeyRoutes() {
	handle(a, api.AddPasskey,
		func(ctx context.Context, in *api.RefBody[api.NewPasskey]) (api.Account, error) {
			credential, err := object(in.Body.Credential)
			if err != nil {
				return api.Account{}, err
			}
			k := accounts.Passkey{ID: in.Body.ID, Label: in.Body.Label, Credential: credential,
				Created: a.makeStamp()}
			route.ReplyOf(ctx).Location = "passkeys/" + base64.RawURLEncoding.EncodeToString(k.ID)
			return a.editAccount(ctx, in.Ref, func(r *accounts.Account) error {
				r.Passkeys = append(r.Passkeys, k)
				return nil
			})
		})
	handle(a, api.RemovePasskey,
		func(ctx context.Context, in *api.PasskeyInput) (api.Account, error) {
			return a.renewSession(ctx)(a.editAccount(ctx, in.Ref, func(r *accounts.Account) error {
				i, err := findPasskey(r, in.ID)
				if err == nil {
					dropStep(r, func() { r.Passkeys = slices.Delete(r.Passkeys, i, i+1) })
				}
				return err
			}))
		})
}

func findPasskey(r *accounts.Account, ref string) (int, error) {
	id, err := base64.RawURLEncoding.Strict().DecodeString(ref)
	i := slices.IndexFunc(r.Passkeys, func(k accounts.Passkey) bool { return bytes.Equal(k.ID, id) })
	if err != nil || i < 0 {
		return 0, route.Missing("passkey", ref)
	}
	return i, nil
}

// object returns a JSON object in its shortest form.
func object(raw json.RawMessage) ([]byte, error) {
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil || b.Len() == 0 || b.Bytes()[0] != '{' {
		return nil, fmt.Errorf("credential: %w: want a JSON object", access.ErrInvalid)
	}
	return b.Bytes(), nil
}
