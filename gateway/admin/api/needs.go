package api

import (
	"encoding/json"
	"fmt"

	"latchkey/gateway/access/accounts"
	"latchkey/gateway/account"
)

// What operations ask of whoever calls them. Each declares one of these, or several by what is
// asked for. Nothing else decides who may call it.
var (
	toLook    = account.Need{Role: accounts.RoleViewer, Scope: accounts.ScopeRead}
	toSwitch  = account.Need{Role: accounts.RoleOperator, Scope: accounts.ScopeLamps}
	toLock    = account.Need{Role: accounts.RoleOperator, Scope: accounts.ScopeDoors}
	toUnlock  = account.Need{Role: accounts.RoleOperator, Scope: accounts.ScopeDoors, Fresh: account.Second}
	toSecure  = account.Need{Role: accounts.RoleOperator, Scope: accounts.ScopeManage} // shuts every door
	toManage  = account.Need{Role: accounts.RoleAdmin, Scope: accounts.ScopeManage, Fresh: account.Confirmed}
	toGovern  = account.Need{Role: accounts.RoleOwner, Fresh: account.Confirmed} // other people's accounts
	toReview  = account.Need{Role: accounts.RoleOwner}                           // looks at them
	ownOrAll  = account.Need{Role: accounts.RoleOwner, Own: true}
	ownOnly   = account.Need{Own: true}
	ownAgain  = account.Need{Own: true, Fresh: account.Confirmed}
	publicly  = account.Need{Public: true}
	anyone    = account.Need{Anyone: true}
	signedIn  = account.Need{Role: accounts.RoleViewer} // in a browser
	again     = account.Need{Role: accounts.RoleViewer, Fresh: account.Confirmed}
	onMachine = account.Need{} // of nobody but whoever is on the gateway's machine
)

// ToLook is what it takes to read anything that is no account: also the OpenAPI document.
func ToLook() account.Need { return toLook }

// Demand is what one operation needs: the same always, or by the value of a member of the body.
type Demand struct {
	always account.Need
	member string // of the body; empty: always
	cases  []Case
}

// Case is what is needed for one value of the member of a body.
type Case struct {
	Value any // of the member, as JSON has it
	Need  account.Need
}

// Cases returns what is needed, by what. Where it is always the same there is one, without a value.
func (d Demand) Cases() (member string, cases []Case) {
	if d.member == "" {
		return "", []Case{{Need: d.always}}
	}
	return d.member, d.cases
}

// Refuse tells why a principal may not call the operation whatever it asks for, before the body is
// read; nil: it may. own says that the operation is on the principal's own account. Where the need
// depends on the body, Refuse refuses only those who are nobody: the others are told what they lack
// when it is known what they ask for.
func (d Demand) Refuse(p account.Principal, own bool) *account.Refusal {
	if d.member == "" {
		return d.always.Check(p, own)
	}
	for _, c := range d.cases {
		if r := c.Need.Check(p, own); r == nil || r.Type != account.TypeSignIn {
			return nil
		}
	}
	return onMachine.Check(p, own)
}

// Need returns what is needed for one value of the member. A value that no case names is for nobody
// but whoever is on the machine; the schema of the operation refuses it anyway.
func (d Demand) Need(value any) account.Need {
	if d.member == "" {
		return d.always
	}
	for _, c := range d.cases {
		if fmt.Sprint(c.Value) == fmt.Sprint(value) {
			return c.Need
		}
	}
	return onMachine
}

// When writes a member of a body and its value, such as action="unlock".
func (c Case) When(member string) string {
	if member == "" {
		return ""
	}
	value, _ := json.Marshal(c.Value) // never fails: it is a text or a truth value
	return member + "=" + string(value)
}
