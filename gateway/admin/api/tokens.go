package api

import (
	"net/http"
	"time"

	"latchkey/gateway/access/accounts"
)

// NewToken asks for a token.
type NewToken struct {
	Label  string           `json:"label" doc:"1 to 64 bytes of printable text, to tell it apart"`
	Scopes []accounts.Scope `json:"scopes" doc:"read, lamps, doors and manage, at least one of them"`
	Until  *time.Time       `json:"until,omitempty" doc:"first instant after validity; for ever if left out"`
}

// MintedToken is a new token with the text that a script sends. Only this answer holds that text.
type MintedToken struct {
	Token
	Text string `json:"token"`
}

// TokenInput names a token in the path.
type TokenInput struct {
	ByRef
	ID string `path:"id"`
}

// Operations on tokens.
var (
	AddToken = declare[RefBody[NewToken], MintedToken](ownAgain,
		http.MethodPost, "/v1/accounts/{ref}/tokens", "add-token",
		"Mint a token for a script: the answer holds it, once")
	RemoveToken = declare[TokenInput, Account](ownOnly,
		http.MethodDelete, "/v1/accounts/{ref}/tokens/{id}", "remove-token",
		"Revoke a token")
)
