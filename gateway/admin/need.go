package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"latchkey/gateway/access"
	"latchkey/gateway/account"
)

// What operations ask of whoever calls them. Each declares one of these, or several by what is
// asked for, where it is registered. Nothing else decides who may call it.
var (
	toLook    = account.Need{Role: access.RoleViewer, Scope: access.ScopeRead}
	toSwitch  = account.Need{Role: access.RoleOperator, Scope: access.ScopeLamps}
	toLock    = account.Need{Role: access.RoleOperator, Scope: access.ScopeDoors}
	toUnlock  = account.Need{Role: access.RoleOperator, Scope: access.ScopeDoors, Fresh: account.Second}
	toSecure  = account.Need{Role: access.RoleOperator, Scope: access.ScopeManage} // shuts every door
	toManage  = account.Need{Role: access.RoleAdmin, Scope: access.ScopeManage, Fresh: account.Confirmed}
	toGovern  = account.Need{Role: access.RoleOwner, Fresh: account.Confirmed} // other people's accounts
	toReview  = account.Need{Role: access.RoleOwner}                           // looks at them
	ownOnly   = account.Need{Own: true}
	ownAgain  = account.Need{Own: true, Fresh: account.Confirmed}
	publicly  = account.Need{Public: true}
	anyone    = account.Need{Anyone: true}
	signedIn  = account.Need{Role: access.RoleViewer} // in a browser
	again     = account.Need{Role: access.RoleViewer, Fresh: account.Confirmed}
	onMachine = account.Need{} // of nobody but whoever is on the gateway's machine
)

// needsExtension is the member of an operation in the OpenAPI document that says what the operation
// needs.
const needsExtension = "x-latchkey-needs"

// demand is what one operation needs: the same always, or by the value of a member of the body.
type demand struct {
	always account.Need
	member string // of the body; empty: always
	cases  []demandCase
}

type demandCase struct {
	value any // of the member, as JSON has it
	need  account.Need
}

// shownNeed is a need in the OpenAPI document.
type shownNeed struct {
	When   string       `json:"when,omitempty" yaml:"when,omitempty"` // a member of the body and its value
	Role   access.Role  `json:"role,omitempty" yaml:"role,omitempty"`
	Scope  access.Scope `json:"scope,omitempty" yaml:"scope,omitempty"`
	Fresh  string       `json:"fresh,omitempty" yaml:"fresh,omitempty"`
	Own    bool         `json:"own,omitempty" yaml:"own,omitempty"`
	Public bool         `json:"public,omitempty" yaml:"public,omitempty"`
	Anyone bool         `json:"anyone,omitempty" yaml:"anyone,omitempty"`
}

func showNeed(when string, n account.Need) shownNeed {
	out := shownNeed{When: when, Role: n.Role, Scope: n.Scope, Own: n.Own, Public: n.Public, Anyone: n.Anyone}
	if n.Fresh != account.Stale {
		out.Fresh = n.Fresh.String()
	}
	return out
}

func (d demand) show() (out []shownNeed) {
	if d.member == "" {
		return []shownNeed{showNeed("", d.always)}
	}
	for _, c := range d.cases {
		value, _ := json.Marshal(c.value) // never fails: it is a text or a truth value
		out = append(out, showNeed(d.member+"="+string(value), c.need))
	}
	return out
}

// refuse tells why a principal may not call the operation whatever it asks for, before the body is
// read. Where the need depends on the body, that refuses only those who are nobody: the others are
// told what they lack when it is known what they ask for.
func (d demand) refuse(p account.Principal, own bool) *account.Refusal {
	if d.member == "" {
		return d.always.Check(p, own)
	}
	for _, c := range d.cases {
		if r := c.need.Check(p, own); r == nil || r.Type != account.TypeSignIn {
			return nil
		}
	}
	return onMachine.Check(p, own)
}

// need returns what is needed for one value of the member. A value that no case names is for nobody
// but whoever is on the machine; the schema of the operation refuses it anyway.
func (d demand) need(value any) account.Need {
	if d.member == "" {
		return d.always
	}
	for _, c := range d.cases {
		if fmt.Sprint(c.value) == fmt.Sprint(value) {
			return c.need
		}
	}
	return onMachine
}

// declare writes what an operation needs into its place in the document, and has it checked before
// the body is parsed.
func (a *api) declare(op *huma.Operation, d demand) {
	if op.Extensions == nil {
		op.Extensions = map[string]any{}
	}
	op.Extensions[needsExtension] = d.show()
	a.demands[op.OperationID] = d
	op.Middlewares = append(op.Middlewares, func(c huma.Context, next func(huma.Context)) {
		p := account.PrincipalOf(c.Context())
		if refused := d.refuse(p, ownAccount(p, c.Param("ref"))); refused != nil {
			a.refuse(c, refused)
			return
		}
		next(c)
	})
}

// ownAccount tells whether an operation on an account is about the principal's own. It must be
// named by its id: another account could have its name a moment later.
func ownAccount(p account.Principal, ref string) bool {
	return p.Account != "" && ref == string(p.Account)
}

func (a *api) refuse(c huma.Context, r *account.Refusal) {
	c.SetHeader("Content-Type", "application/problem+json")
	c.SetStatus(r.Status)
	_ = json.NewEncoder(c.BodyWriter()).Encode(problemOf(r)) // the client is gone
}

func problemOf(r *account.Refusal) *huma.ErrorModel {
	return &huma.ErrorModel{Type: r.Type, Title: http.StatusText(r.Status), Status: r.Status,
		Detail: r.Detail}
}

// guard puts a need before a handler that is no operation of huma's.
func (a *api) guard(d demand, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if refused := d.refuse(account.PrincipalOf(r.Context()), false); refused != nil {
			writeRefusal(w, refused)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func writeRefusal(w http.ResponseWriter, r *account.Refusal) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(r.Status)
	_ = json.NewEncoder(w).Encode(problemOf(r)) // the client is gone
}

// handle registers an operation and what it needs. Errors of h become problems here and nowhere
// else.
func handle[I, O any](
	a *api, need account.Need, method, path, id, summary string, h func(context.Context, *I) (*O, error),
) {
	register(a, demand{always: need}, method, path, id, summary, h)
}

// handleCases registers an operation that needs different things for different values of a member
// of its body, which value reads from the input.
func handleCases[I, O any](
	a *api, cases []demandCase, member string, value func(*I) any,
	method, path, id, summary string, h func(context.Context, *I) (*O, error),
) {
	d := demand{member: member, cases: cases}
	register(a, d, method, path, id, summary, func(ctx context.Context, in *I) (*O, error) {
		if refused := d.need(value(in)).Check(account.PrincipalOf(ctx), false); refused != nil {
			return nil, refused
		}
		return h(ctx, in)
	})
}

func register[I, O any](a *api, d demand, method, path, id, summary string, h func(context.Context, *I) (*O,
	error)) {
	op := huma.Operation{OperationID: id, Method: method, Path: path, Summary: summary,
		DefaultStatus: http.StatusOK}
	if method == http.MethodPost && id[:4] == "add-" {
		op.DefaultStatus = http.StatusCreated
	}
	a.declare(&op, d)
	huma.Register(a.API, op, func(ctx context.Context, in *I) (*O, error) {
		var notice string
		out, err := h(context.WithValue(ctx, noticeKey{}, &notice), in)
		if err != nil {
			return nil, a.problem(ctx, id, err)
		}
		if b, ok := any(out).(interface{ notice(string) }); ok && notice != "" {
			b.notice(notice)
		}
		return out, nil
	})
}
