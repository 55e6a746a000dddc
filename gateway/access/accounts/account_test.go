package accounts_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/access/accounts"
	"latchkey/keys"
)

var table = access.Standard.With(accounts.Kind)

func owner() accounts.Account {
	return accounts.Account{ID: "0000000001", Name: "keeper", Role: accounts.RoleOwner}
}

func TestAccountRefuses(t *testing.T) {
	token := accounts.Token{ID: "0000000009", Label: "script", Hash: keys.Hash{1},
		Scopes: []accounts.Scope{accounts.ScopeRead}}
	passkey := accounts.Passkey{ID: []byte{1}, Label: "phone", Credential: []byte("{}")}
	for _, tt := range []struct {
		name   string
		change func(*accounts.Account)
		says   string
	}{
		{"no role", func(r *accounts.Account) { r.Role = "" }, "owner, admin, operator or viewer"},
		{"a name with capitals", func(r *accounts.Account) { r.Name = "Keeper" }, "a-z"},
		{"no id", func(r *accounts.Account) { r.ID = "" }, "NewID"},
		{"a long secret", func(r *accounts.Account) { r.TOTP = keys.Hide(strings.Repeat("x", 513)) },
			"longer than 512"},
		{"17 passkeys", func(r *accounts.Account) { r.Passkeys = make([]accounts.Passkey, 17) },
			"16 at most"},
		{"a passkey twice", func(r *accounts.Account) { r.Passkeys = []accounts.Passkey{passkey, passkey} },
			"twice"},
		{"33 tokens", func(r *accounts.Account) { r.Tokens = make([]accounts.Token, 33) }, "32 at most"},
		{"a token without a scope", func(r *accounts.Account) {
			r.Tokens = []accounts.Token{{ID: token.ID, Label: "script", Hash: token.Hash}}
		}, "no scope"},
		{"two tokens with the same label",
			func(r *accounts.Account) { r.Tokens = []accounts.Token{token, token} },
			"another label"},
		{"a label with a control character", func(r *accounts.Account) {
			r.Tokens = []accounts.Token{token}
			r.Tokens[0].Label = "a\x1bb"
		}, "printable"},
		{"no owner", func(r *accounts.Account) { r.Role = accounts.RoleAdmin }, "another owner first"},
		{"no owner who can sign in", func(r *accounts.Account) { r.Disabled = true }, "another owner first"},
	} {
		r := owner()
		tt.change(&r)
		_, err := table.New().With(access.Change{Put: r})
		if !errors.Is(err, access.ErrInvalid) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: got %v, want ErrInvalid with a hint at %q", tt.name, err, tt.says)
		}
	}
}

// A policy shares no memory with the account that was put into it.
func TestAccountIsCopied(t *testing.T) {
	r := owner()
	r.Created = time.Now()
	r.Tokens = []accounts.Token{{ID: "0000000009", Label: "script", Hash: keys.Hash{1},
		Scopes: []accounts.Scope{accounts.ScopeRead, accounts.ScopeDoors, accounts.ScopeRead}}}
	p, err := table.New().With(access.Change{Put: r})
	if err != nil {
		t.Fatal(err)
	}
	r.Tokens[0].Label = "other"
	kept, ok := accounts.Kind.ByName(p, "keeper")
	if !ok || kept.Tokens[0].Label != "script" || len(kept.Tokens[0].Scopes) != 2 {
		t.Errorf("got %+v, %v", kept, ok)
	}
	if kept.Created != r.Created.Round(0).UTC() {
		t.Errorf("created: got %v, want it in UTC", kept.Created)
	}
	if got := p.Describe(access.Change{Delete: accounts.Account{ID: r.ID}}); got != "delete account keeper" {
		t.Errorf("got %q", got)
	}
}

func TestRoleIncludes(t *testing.T) {
	for _, tt := range []struct {
		have, least accounts.Role
		want        bool
	}{
		{accounts.RoleOwner, accounts.RoleViewer, true},
		{accounts.RoleAdmin, accounts.RoleAdmin, true},
		{accounts.RoleOperator, accounts.RoleAdmin, false},
		{"", accounts.RoleViewer, false},
		{accounts.RoleOwner, "", false},
	} {
		if got := tt.have.Includes(tt.least); got != tt.want {
			t.Errorf("%q includes %q: got %v, want %v", tt.have, tt.least, got, tt.want)
		}
	}
}
