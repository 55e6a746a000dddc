package api

import (
	"encoding/json"
	"net/http"
)

// NewPasskey is a WebAuthn credential that an account has proven to have.
type NewPasskey struct {
	Label      string          `json:"label" doc:"1 to 64 bytes of printable text, to tell it apart"`
	ID         []byte          `json:"id" doc:"the credential id, up to 1023 bytes"`
	Credential json.RawMessage `json:"credential" doc:"an object with the public key, the counter and the flags, up to 8 KB"`
}

// PasskeyInput names a passkey in the path.
type PasskeyInput struct {
	ByRef
	ID string `path:"id" doc:"the credential id in base64url without padding"`
}

// Operations on passkeys.
var (
	AddPasskey = declare[RefBody[NewPasskey], Account](onMachine,
		http.MethodPost, "/v1/accounts/{ref}/passkeys", "add-passkey",
		"Give an account a passkey")
	RemovePasskey = declare[PasskeyInput, Account](ownAgain,
		http.MethodDelete, "/v1/accounts/{ref}/passkeys/{id}", "remove-passkey",
		"Remove a passkey from an account")
)
