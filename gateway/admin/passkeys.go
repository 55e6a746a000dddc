package admin

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"latchkey/gateway/access"
)

// NewPasskey is a WebAuthn credential that an account has proven to have.
type NewPasskey struct {
	Label      string          `json:"label" doc:"1 to 64 bytes of printable text, to tell it apart"`
	ID         []byte          `json:"id" doc:"the credential id, up to 1023 bytes"`
	Credential json.RawMessage `json:"credential" doc:"an object with the public key, the counter and the flags, up to 8 KB"`
}

// PasskeyInput names a passkey in the path.
type PasskeyInput struct {
	RefInput
	ID string `path:"id" doc:"the credential id in base64url without padding"`
}

func (a *api) passkeyRoutes() {
	const path = "/v1/accounts/{ref}/passkeys"
	handle(a, onMachine, http.MethodPost, path, "add-passkey", "Give an account a passkey",
		func(ctx context.Context, in *struct {
			RefInput
			Body NewPasskey
		}) (*body[Account], error) {
			credential, err := object(in.Body.Credential)
			if err != nil {
				return nil, err
			}
			k := access.Passkey{ID: in.Body.ID, Label: in.Body.Label, Credential: credential,
				Created: a.stamp()}
			return a.editAccount(ctx, in.Ref, func(r *access.Account) error {
				r.Passkeys = append(r.Passkeys, k)
				return nil
			})
		})
	handle(a, ownAgain, http.MethodDelete, path+"/{id}", "remove-passkey", "Take a passkey from an account",
		func(ctx context.Context, in *PasskeyInput) (*body[Account], error) {
			return a.renewed(ctx)(a.editAccount(ctx, in.Ref, func(r *access.Account) error {
				i, err := findPasskey(r, in.ID)
				if err == nil {
					dropStep(r, func() { r.Passkeys = slices.Delete(r.Passkeys, i, i+1) })
				}
				return err
			}))
		})
}

func findPasskey(r *access.Account, ref string) (int, error) {
	id, err := base64.RawURLEncoding.Strict().DecodeString(ref)
	i := slices.IndexFunc(r.Passkeys, func(k access.Passkey) bool { return bytes.Equal(k.ID, id) })
	if err != nil || i < 0 {
		return 0, missing("passkey", ref)
	}
	return i, nil
}

// object is a JSON object in its shortest form.
func object(raw json.RawMessage) ([]byte, error) {
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil || b.Len() == 0 || b.Bytes()[0] != '{' {
		return nil, fmt.Errorf("credential: %w: want a JSON object", access.ErrInvalid)
	}
	return b.Bytes(), nil
}
