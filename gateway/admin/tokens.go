package admin

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/account"
)

// NewToken asks for a token.
type NewToken struct {
	Label  string         `json:"label" doc:"1 to 64 bytes of printable text, to tell it apart"`
	Scopes []access.Scope `json:"scopes" doc:"read, lamps, doors and manage, at least one of them"`
	Until  *time.Time     `json:"until,omitempty" doc:"first instant after validity; for ever if left out"`
}

// MintedToken is a new token with what a script sends, in this one answer and in no other.
type MintedToken struct {
	Token
	Text string `json:"token"`
}

// TokenInput names a token in the path.
type TokenInput struct {
	RefInput
	ID string `path:"id"`
}

func (a *api) tokenRoutes() {
	const path = "/v1/accounts/{ref}/tokens"
	handle(a, ownAgain, http.MethodPost, path, "add-token",
		"Mint a token for a script: the answer holds it, once",
		func(ctx context.Context, in *struct {
			RefInput
			Body NewToken
		}) (*body[MintedToken], error) {
			return answer(a.mintToken(ctx, in.Ref, in.Body))
		})
	handle(a, ownOnly, http.MethodDelete, path+"/{id}", "remove-token",
		"Take a token back: it lets nobody in any more",
		func(ctx context.Context, in *TokenInput) (*body[Account], error) {
			return a.editAccount(ctx, in.Ref, func(r *access.Account) error {
				i := slices.IndexFunc(r.Tokens, func(t access.Token) bool { return string(t.ID) == in.ID })
				if i < 0 {
					return missing("token", in.ID)
				}
				r.Tokens = slices.Delete(r.Tokens, i, i+1)
				return nil
			})
		})
}

func (a *api) mintToken(ctx context.Context, ref string, in NewToken) (MintedToken, error) {
	text, hash := account.NewTokenText()
	t := access.Token{ID: access.NewID(), Label: in.Label, Hash: hash, Scopes: in.Scopes,
		Until:   valueOf(in.Until),
		Created: a.stamp()}
	if in.Until != nil && !a.Now().Before(t.Until) {
		return MintedToken{}, fmt.Errorf("until: %w: it is over already: want a time to come",
			access.ErrInvalid)
	}
	_, err := a.editAccount(ctx, ref, func(r *access.Account) error {
		r.Tokens = append(r.Tokens, t)
		return nil
	})
	if err != nil {
		return MintedToken{}, err
	}
	return MintedToken{Token: viewToken(t), Text: text}, nil
}
