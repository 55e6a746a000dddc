package account

import (
	"crypto/sha256"
	"crypto/subtle"

	"latchkey/gateway/access/accounts"
	"latchkey/keys"
)

// maxTokenText bounds, in bytes, a text that is checked as a token.
const maxTokenText = 128

// NewTokenText makes the text that a script sends, and the hash of it that is stored.
func NewTokenText() (text string, hash keys.Hash) {
	text = "lkt-" + keys.Random(26)
	return text, sha256.Sum256([]byte(text))
}

// CheckToken returns the account of the token that a script has sent, if there is a valid one. It
// compares with every token, so that the time it takes does not reveal which one was nearly right.
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

// isValid tells whether a token has not expired. While the clock is not trusted, a token with an
// end counts as expired.
func (r *Registry) isValid(t accounts.Token) bool {
	if t.Until.IsZero() {
		return true
	}
	now := r.cfg.Now()
	return (r.cfg.ClockTrusted == nil || r.cfg.ClockTrusted(now)) && now.Before(t.Until)
}

// script returns the principal of a token. An unknown token gives nobody.
func (r *Registry) script(text string) Principal {
	a, t, ok := r.CheckToken(text)
	if !ok {
		return Principal{}
	}
	return Principal{Kind: Script, Account: a.ID, Name: a.Name, Role: a.Role, Token: t.ID, Scopes: t.Scopes}
}
