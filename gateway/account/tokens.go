package account

import (
	"crypto/sha256"
	"crypto/subtle"

	"latchkey/gateway/access/accounts"
	"latchkey/keys"
)

// maxTokenText bounds, in bytes, what is looked at as a token.
const maxTokenText = 128

// NewTokenText makes what a script sends, and the hash of it that is kept.
func NewTokenText() (text string, hash keys.Hash) {
	text = "lkt-" + keys.Random(26)
	return text, sha256.Sum256([]byte(text))
}

// CheckToken returns whose token a script has sent, if it is anybody's now. It looks at every
// token, so that the time it takes tells nothing of which one was nearly right.
func (r *Registry) CheckToken(text string) (a accounts.Account, t accounts.Token, ok bool) {
	hash := sha256.Sum256([]byte(text))
	for _, of := range accounts.Kind.In(r.cfg.Policy()) {
		for _, token := range of.Tokens {
			if subtle.ConstantTimeCompare(hash[:], token.Hash[:]) == 1 && !of.Disabled && r.isValid(token) {
				a, t, ok = of, token, true
			}
		}
	}
	return a, t, ok
}

// isValid tells whether a token is not over. One that ends is, while nobody knows what time it is.
func (r *Registry) isValid(t accounts.Token) bool {
	if t.Until.IsZero() {
		return true
	}
	now := r.cfg.Now()
	return (r.cfg.ClockTrusted == nil || r.cfg.ClockTrusted(now)) && now.Before(t.Until)
}

// script is the principal of a token: nobody, if it is nobody's.
func (r *Registry) script(text string) Principal {
	a, t, ok := r.CheckToken(text)
	if !ok {
		return Principal{}
	}
	return Principal{Kind: Script, Account: a.ID, Name: a.Name, Role: a.Role, Token: t.ID, Scopes: t.Scopes}
}
