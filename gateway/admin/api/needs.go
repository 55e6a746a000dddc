package api

import (
	"encoding/json"
	"fmt"

	"latchkey/gateway/access/accounts"
	"latchkey/gateway/account"
)

// What operations require of their callers. Each operation declares one of these, or one for each
// value of a member of its body. Nothing else decides who may call it.
var (
	toLook    = account.Need{Role: accounts.RoleViewer, Scope: accounts.ScopeRead}
	toSwitch  = account.Need{Role: accounts.RoleOperator, Scope: accounts.ScopeLamps}
	toLock    = account.Need{Role: accounts.RoleOperator, Scope: accounts.ScopeDoors}
	toUnlock  = account.Need{Role: accounts.RoleOperator, Scope: accounts.ScopeDoors, Fresh: account.Second}
	toSecure  = account.Need{Role: accounts.RoleOperator, Scope: accounts.ScopeManage} // shuts every door
	toManage  = account.Need{Role: accounts.RoleAdmin, Scope: accounts.ScopeManage, Fresh: account.Confirmed}
	toInspect = account.Need{Role: accounts.RoleAdmin, Scope: accounts.ScopeManage} // reads how other servers are reached
	toGovern  = account.Need{Role: accounts.RoleOwner, Fresh: account.Confirmed}    // changes others' accounts
	toReview  = account.Need{Role: accounts.RoleOwner}                              // reads others' accounts
	ownOrAll  = account.Need{Role: accounts.RoleOwner, Own: true}
	ownOnly   = account.Need{Own: true}
	ownAgain  = account.Need{Own: true, Fresh: account.Confirmed}
	publicly  = account.Need{Public: true}
	anyone    = account.Need{Anyone: true}
	signedIn  = account.Need{Role: accounts.RoleViewer} // in a browser
	again     = account.Need{Role: accounts.RoleViewer, Fresh: account.Confirmed}
	onMachine = account.Need{} // only somebody on the gateway's machine
)

// ToLook is the need of every operation that reads anything but accounts. It also holds for the
// OpenAPI document.
func ToLook() account.Need { return toLook }

// Demand is what one operation needs: always the same, or something else for each value of a member
// of the body.
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

// Cases returns the needs with their values. If the need is always the same, there is one case
// without a value.
func (d Demand) Cases() (member string, cases []Case) {
	if d.member == "" {
		return "", []Case{{Need: d.always}}
	}
	return d.member, d.cases
}

// Refuse is called before the body is read. It returns why a principal may not call the operation
// whatever the body says, or nil. own says that the operation is on the principal's own account. If
// the need depends on the body, Refuse refuses only Nobody; everybody else is checked once the body
// is known.
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

// Need returns what is needed for one value of the member. For a value without a case it returns
// the zero Need, which only a unix peer meets; the schema of the operation refuses such a value
// anyway.
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
