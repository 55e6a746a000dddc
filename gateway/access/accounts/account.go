// Package accounts is the kind of record that says who may sign in at the console, as what, and how
// they prove who they are. It checks no password; package account does.
package accounts

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/access/edit"
	"latchkey/gateway/text"
	"latchkey/keys"
)

// Role is what an account may do at the console. Each role includes those after it in [Roles]. The
// zero role may do nothing.
type Role string

const (
	RoleOwner    Role = "owner"    // accounts
	RoleAdmin    Role = "admin"    // people, cards, grants, devices
	RoleOperator Role = "operator" // doors and lamps
	RoleViewer   Role = "viewer"   // may only read
)

// Roles holds all roles, the most powerful first.
var Roles = []Role{RoleOwner, RoleAdmin, RoleOperator, RoleViewer}

// Includes tells whether r may do all that least may do.
func (r Role) Includes(least Role) bool {
	have, need := slices.Index(Roles, r), slices.Index(Roles, least)
	return have >= 0 && need >= 0 && have <= need
}

// Scope is what a token may do. The zero scope may do nothing.
type Scope string

const (
	ScopeRead   Scope = "read"   // look at everything but accounts
	ScopeLamps  Scope = "lamps"  // switch lamps
	ScopeDoors  Scope = "doors"  // open and lock doors
	ScopeManage Scope = "manage" // change people, cards, grants, devices
)

// Scopes are all scopes.
var Scopes = []Scope{ScopeRead, ScopeLamps, ScopeDoors, ScopeManage}

// Account is somebody who may sign in at the console. An account opens no door by itself: a door
// opened at the console is an operator's attempt in the account's name.
type Account struct {
	ID       access.ID   `json:"id"`
	Name     string      `json:"name"`
	Role     Role        `json:"role"`
	Disabled bool        `json:"disabled,omitempty"`
	Password keys.Hidden `json:"-"` // argon2id, in PHC's string format; zero: no password is accepted
	TOTP     keys.Hidden `json:"-"` // base32 secret of RFC 6238; zero: none
	Passkeys []Passkey   `json:"passkeys,omitempty"`
	Tokens   []Token     `json:"tokens,omitempty"`
	Epoch    uint64      `json:"epoch"` // a session that began in another epoch has ended
	Created  time.Time   `json:"created"`
}

// Passkey is a WebAuthn credential of an account. Credential is its public key, counter and flags,
// in JSON, as the console's WebAuthn library writes them.
type Passkey struct {
	ID         []byte    `json:"id"` // the credential id
	Label      string    `json:"label"`
	Credential []byte    `json:"credential"`
	Created    time.Time `json:"created"`
}

// Token lets a script sign in. The text that the script sends is not stored.
type Token struct {
	ID      access.ID `json:"id"`
	Label   string    `json:"label"`
	Hash    keys.Hash `json:"-"` // SHA-256 of the text that the script sends
	Scopes  []Scope   `json:"scopes"`
	Until   time.Time `json:"until,omitzero"` // first instant after validity; zero: for ever
	Created time.Time `json:"created"`
}

// SecondStep tells whether the account has a passkey or one-time codes for a second step.
func (r Account) SecondStep() bool { return !r.TOTP.IsZero() || len(r.Passkeys) > 0 }

// Bounds of an account's lists, which are searched at every sign-in.
const (
	maxPasskeys   = 16
	maxTokens     = 32
	maxCredential = 8 << 10
	maxHidden     = 512
)

// Kind is the kind of [Account].
var Kind = &access.Kind[access.ID, Account]{
	Name:   "account",
	ID:     func(r Account) access.ID { return r.ID },
	Order:  cmp.Compare[access.ID],
	Blank:  func(id access.ID) Account { return Account{ID: id} },
	NameOf: func(r Account) string { return r.Name },

	Normal:   func(_ *access.Draft, r Account) (Account, error) { return r.normalize(), nil },
	Leaf:     true,
	Check:    checkAccount,
	CheckAll: checkOwner,

	Label:      func(n access.Namer, r Account) string { return "account " + n.NameOr(r.Name, r.ID) },
	Details:    func(_ access.Namer, r Account) string { return ", " + text.Quote(string(r.Role)) },
	Difference: describeDifference,
	Restricted: func(before, after Account) Account {
		before.Disabled = true
		before.Epoch = max(before.Epoch, after.Epoch) // a new epoch ends its sessions
		return before
	},
}

// normalize returns the account in the form that policies hold. It shares no memory with the
// caller's.
func (r Account) normalize() Account {
	r.Created = edit.NormalizeTime(r.Created)
	r.Passkeys = slices.Clone(r.Passkeys)
	for i := range r.Passkeys {
		k := &r.Passkeys[i]
		k.ID, k.Credential = slices.Clone(k.ID), slices.Clone(k.Credential)
		k.Created = edit.NormalizeTime(k.Created)
	}
	r.Tokens = slices.Clone(r.Tokens)
	for i := range r.Tokens {
		t := &r.Tokens[i]
		t.Scopes = edit.NormalizeList(t.Scopes)
		t.Until, t.Created = edit.NormalizeTime(t.Until), edit.NormalizeTime(t.Created)
	}
	return r
}

func checkAccount(d *access.Draft, r Account) error {
	switch {
	case !slices.Contains(Roles, r.Role):
		return fmt.Errorf("role %q: want owner, admin, operator or viewer", string(r.Role))
	case len(r.Passkeys) > maxPasskeys:
		return fmt.Errorf("it has %d passkeys: want %d at most", len(r.Passkeys), maxPasskeys)
	case len(r.Tokens) > maxTokens:
		return fmt.Errorf("it has %d tokens: want %d at most", len(r.Tokens), maxTokens)
	case len(r.Password.Reveal()) > maxHidden || len(r.TOTP.Reveal()) > maxHidden:
		return fmt.Errorf("a secret of it is longer than %d bytes", maxHidden)
	}
	for i, k := range r.Passkeys {
		switch {
		case len(k.ID) == 0 || len(k.ID) > 1023: // WebAuthn level 2, 6.1
			return fmt.Errorf("a passkey's id has %d bytes: want 1 to 1023", len(k.ID))
		case len(k.Credential) == 0 || len(k.Credential) > maxCredential:
			return fmt.Errorf("a passkey's record has %d bytes: want 1 to %d",
				len(k.Credential), maxCredential)
		case slices.ContainsFunc(r.Passkeys[:i], k.sameID):
			return errors.New("a passkey is there twice")
		}
		if err := checkLabel("passkey", k.Label); err != nil {
			return err
		}
	}
	for i, t := range r.Tokens {
		switch {
		case !t.ID.Valid() || t.Hash == keys.Hash{}:
			return errors.New("a token has no id or no hash")
		case len(t.Scopes) == 0:
			return fmt.Errorf("token %s has no scope: it could do nothing", text.Quote(t.Label))
		case slices.ContainsFunc(r.Tokens[:i], t.clashes):
			return fmt.Errorf("there is a token %s already: choose another label", text.Quote(t.Label))
		}
		for _, s := range t.Scopes {
			if !slices.Contains(Scopes, s) {
				return fmt.Errorf("scope %q: want read, lamps, doors or manage", string(s))
			}
		}
		if err := checkLabel("token", t.Label); err != nil {
			return err
		}
	}
	return cmp.Or(access.CheckID(r.ID), text.CheckHandle(r.Name))
}

func (k Passkey) sameID(o Passkey) bool { return string(k.ID) == string(o.ID) }

// clashes tells whether people could mistake one of the two for the other.
func (t Token) clashes(o Token) bool { return t.ID == o.ID || t.Hash == o.Hash || t.Label == o.Label }

func checkLabel(what, label string) error {
	if len(label) < 1 || len(label) > text.MaxName || !text.IsPrintable(label) {
		return fmt.Errorf("the label of a %s: want 1 to %d bytes of printable text", what, text.MaxName)
	}
	return nil
}

// checkOwner refuses a change after which there are accounts, but nobody may manage them.
func checkOwner(d *access.Draft, e *access.Edit[access.ID, Account]) error {
	accounts := e.All()
	if len(accounts) == 0 {
		return nil
	}
	for _, r := range accounts {
		if r.Role == RoleOwner && !r.Disabled {
			return nil
		}
	}
	return d.Invalid(touchedAccount(e), "no account would be an owner's: make another owner first")
}

// touchedAccount returns the account that the refusal names: one that was an owner's, else the last
// that was put.
func touchedAccount(e *access.Edit[access.ID, Account]) (r Account) {
	for _, id := range e.Touched {
		if was, is := e.Before(id); is && was.Role == RoleOwner {
			return was
		}
		r, _ = e.After(id)
	}
	return r
}

// describeDifference says in words how an account has changed. Of a secret it says only that it
// changed.
func describeDifference(_ access.Namer, label string, b, a Account, say *edit.Sentences) {
	say.If(a.Name != b.Name, "rename ", label, " to ", text.Quote(a.Name))
	say.If(a.Role != b.Role, "make ", label, " ", text.Quote(string(a.Role)))
	say.If(a.Disabled && !b.Disabled, "disable ", label)
	say.If(!a.Disabled && b.Disabled, "enable ", label)
	say.If(a.Password.Reveal() != b.Password.Reveal(), "set the password of ", label)
	say.If(!a.TOTP.IsZero() && a.TOTP.Reveal() != b.TOTP.Reveal(), "set one-time codes of ", label)
	say.If(a.TOTP.IsZero() && !b.TOTP.IsZero(), "remove one-time codes of ", label)
	passkeys := func(r Account) (out []string) {
		for _, k := range r.Passkeys {
			out = append(out, text.Quote(k.Label))
		}
		return out
	}
	tokens := func(r Account) (out []string) {
		for _, t := range r.Tokens {
			out = append(out, text.Quote(t.Label))
		}
		return out
	}
	for _, of := range []struct {
		what string
		list func(Account) []string
	}{{"passkey", passkeys}, {"token", tokens}} {
		is, was := of.list(a), of.list(b)
		in, gone := edit.Subtract(is, was), edit.Subtract(was, is)
		say.If(len(in) > 0, "add ", of.what, " ", strings.Join(in, ", "), " to ", label)
		say.If(len(gone) > 0, "remove ", of.what, " ", strings.Join(gone, ", "), " from ", label)
	}
	say.If(a.Epoch != b.Epoch, "end all sessions of ", label)
}
