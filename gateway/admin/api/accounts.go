package api

import (
	"encoding/json"
	"net/http"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/access/accounts"
)

// Account is somebody who may sign in at the console, as answers show it, without its secrets.
type Account struct {
	ID       access.ID     `json:"id"`
	Name     string        `json:"name"`
	Role     accounts.Role `json:"role" doc:"owner, admin, operator or viewer"`
	Disabled bool          `json:"disabled,omitempty"`
	Password bool          `json:"password" doc:"whether it has a password; without one nobody can sign in with a name and a password"`
	TOTP     bool          `json:"totp" doc:"whether sign-in asks for a one-time code"`
	Passkeys []Passkey     `json:"passkeys"`
	Tokens   []Token       `json:"tokens"`
	Epoch    uint64        `json:"epoch" doc:"a session that began under another epoch has ended"`
	Created  time.Time     `json:"created"`
	Tagged
}

// ViewAccount returns an account as an answer shows it.
func ViewAccount(_ *access.Policy, r accounts.Account) Account {
	v := Account{ID: r.ID, Name: r.Name, Role: r.Role, Disabled: r.Disabled,
		Password: !r.Password.IsZero(), TOTP: !r.TOTP.IsZero(), Passkeys: []Passkey{},
		Tokens: []Token{}, Epoch: r.Epoch, Created: r.Created}
	for _, k := range r.Passkeys {
		v.Passkeys = append(v.Passkeys, Passkey{ID: k.ID, Label: k.Label, Credential: k.Credential,
			Created: k.Created})
	}
	for _, t := range r.Tokens {
		v.Tokens = append(v.Tokens, ViewToken(t))
	}
	return v
}

// ViewToken returns a token as an answer shows it.
func ViewToken(t accounts.Token) Token {
	return Token{ID: t.ID, Label: t.Label, Scopes: t.Scopes, Until: t.Until, Created: t.Created}
}

// Passkey is a WebAuthn credential in an answer.
type Passkey struct {
	ID         []byte          `json:"id" doc:"the credential id; in paths it is base64url without padding"`
	Label      string          `json:"label"`
	Credential json.RawMessage `json:"credential" doc:"public key, counter and flags, as they are stored"`
	Created    time.Time       `json:"created"`
}

// Token lets a script call the API. The text that the script sends is only in the answer that mints
// the token.
type Token struct {
	ID      access.ID        `json:"id"`
	Label   string           `json:"label"`
	Scopes  []accounts.Scope `json:"scopes"`
	Until   time.Time        `json:"until,omitzero" doc:"first instant after validity"`
	Created time.Time        `json:"created"`
}

// NewAccount asks for an account.
type NewAccount struct {
	Name     string `json:"name" doc:"1 to 64 of a-z 0-9 . _ -"`
	Role     string `json:"role" enum:"owner,admin,operator,viewer"`
	Password string `json:"password,omitempty" doc:"10 to 256 bytes of text; without one nobody can sign in yet"`
}

// AccountChange changes an account. Each change ends the sessions of the account, except a new name
// and enabling it again.
type AccountChange struct {
	Name     string  `json:"name,omitempty"`
	Role     string  `json:"role,omitempty" enum:"owner,admin,operator,viewer"`
	Disabled *bool   `json:"disabled,omitempty" doc:"true: nobody can sign in with it, and its tokens are refused"`
	Password *string `json:"password,omitempty" doc:"10 to 256 bytes of text"`
}

// Operations on accounts.
var (
	ListAccounts = declare[ListQuery, List[Account]](toReview,
		http.MethodGet, "/v1/accounts", "list-accounts",
		"List the accounts that may sign in at the console, by name")
	AddAccount = declare[Body[NewAccount], Account](toGovern,
		http.MethodPost, "/v1/accounts", "add-account",
		"Add an account. The first must be an owner")
	GetAccount = declare[ByRef, Account](ownOrAll, http.MethodGet, "/v1/accounts/{ref}", "get-account",
		"One account")
	ChangeAccount = declare[RefBody[AccountChange], Account](toGovern,
		http.MethodPatch, "/v1/accounts/{ref}", "change-account",
		"Rename, disable or enable an account, or change its role or password").acceptIfMatch()
	RemoveAccount = declare[ByRef, Changed](toGovern,
		http.MethodDelete, "/v1/accounts/{ref}", "remove-account",
		"Remove an account with its passkeys and tokens").acceptIfMatch()
	SignOut = declare[ByRef, Account](ownOnly, http.MethodPost, "/v1/accounts/{ref}/sign-out", "sign-out",
		"End all sessions of an account")
)
