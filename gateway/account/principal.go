// Package account says who makes a request: somebody on the gateway's own machine, an account that
// has signed in at the website, or a script with a token. It defines what an operation may require
// of them, and decides whether they meet it. It does not serve the operations and does not know
// what they do.
package account

import (
	"context"
	"net/http"
	"slices"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/access/accounts"
)

// Kind says what a principal is.
type Kind uint8

const (
	Nobody   Kind = iota // nobody has signed in, or we cannot tell who it is
	UnixPeer             // has opened the admin socket or the data folder itself; may do everything
	Session              // has signed in with an account in a browser
	Script               // has a token of an account
)

// Principal is who makes a request. The zero Principal is nobody.
type Principal struct {
	Kind    Kind
	Account access.ID     // of a session and a script
	Name    string        // of the account, or what a unix peer is called in events
	Role    accounts.Role // of the account
	Fresh   Freshness     // of a session

	Token  access.ID        // of a script
	Scopes []accounts.Scope // of that token
}

// NewUnixPeer returns the principal of somebody on the gateway's machine. Events call them by this
// name.
func NewUnixPeer(name string) Principal { return Principal{Kind: UnixPeer, Name: name} }

// Actor returns the name that events use for the principal.
func (p Principal) Actor() string {
	switch p.Kind {
	case UnixPeer:
		return p.Name
	case Session:
		return p.Name + "@console"
	case Script:
		return p.Name + "@api"
	}
	return "console"
}

// Freshness says how sure we are that the person who signed in is still the one who uses the
// session. A greater one includes the lesser ones.
type Freshness uint8

const (
	Stale     Freshness = iota
	Confirmed           // a second step in the last 15 minutes; the password if the account has none
	Second              // a second step within the last two minutes
)

func (f Freshness) String() string {
	switch f {
	case Confirmed:
		return "confirmed"
	case Second:
		return "second"
	}
	return "-"
}

// Need is what an operation requires of its caller. Only a unix peer meets the zero Need, so an
// operation that declares nothing is refused to everybody else.
type Need struct {
	Role   accounts.Role  // the least role of an account; empty: no account's role is enough
	Scope  accounts.Scope // that a token must have; empty: no token may call the operation
	Fresh  Freshness      // that a session must have
	Anyone bool           // everybody may call it, signed in or not: it concerns only its caller
	Own    bool           // every session may call the operation for its own account, whatever its role
	Public bool           // the operation can be called before sign-in
}

// scopeRole is the role that an account must have before its token can use a scope: a token may
// never do more than the account that made it.
var scopeRole = map[accounts.Scope]accounts.Role{
	accounts.ScopeRead:   accounts.RoleViewer,
	accounts.ScopeLamps:  accounts.RoleOperator,
	accounts.ScopeDoors:  accounts.RoleOperator,
	accounts.ScopeManage: accounts.RoleAdmin,
}

// Check returns nil if the principal may call an operation, and otherwise the reason why not. own
// says that the operation concerns the principal's own account.
func (n Need) Check(p Principal, own bool) *Refusal {
	if n.Anyone && p.Kind <= Script {
		return nil
	}
	switch p.Kind {
	case UnixPeer:
		return nil
	case Session:
		return n.checkSession(p, own)
	case Script:
		return n.checkScript(p)
	case Nobody:
		if n.Public {
			return nil
		}
	}
	return &Refusal{Status: http.StatusUnauthorized, Type: TypeSignIn,
		Detail: "you are not signed in, or your sign-in has ended: sign in and try again"}
}

func (n Need) checkSession(p Principal, own bool) *Refusal {
	switch {
	case n.Public:
		return nil
	case own && n.Own && p.Role.Includes(accounts.RoleViewer), n.Role != "" && p.Role.Includes(n.Role):
	default:
		why := "no account may do this"
		if n.Role != "" {
			why = "you are signed in as " + p.Name + ", who is " + withArticle(p.Role) +
				". This needs " + withArticle(n.Role)
		}
		return &Refusal{Status: http.StatusForbidden, Type: TypeRole, Detail: why}
	}
	if p.Fresh < n.Fresh {
		return &Refusal{Status: http.StatusForbidden, Type: TypeStep, Fresh: n.Fresh,
			Detail: "confirm again that it is you: use a passkey, or type a code or your password"}
	}
	return nil
}

func (n Need) checkScript(p Principal) *Refusal {
	switch {
	case n.Scope == "":
		return &Refusal{Status: http.StatusForbidden, Type: TypeScope, Detail: "no token may do this"}
	case !slices.Contains(p.Scopes, n.Scope) || !p.Role.Includes(scopeRole[n.Scope]) ||
		!p.Role.Includes(n.Role):
		return &Refusal{Status: http.StatusForbidden, Type: TypeScope,
			Detail: "this needs the scope " + string(n.Scope) + ", and an account whose role may use it"}
	}
	return nil
}

func withArticle(r accounts.Role) string {
	if r == accounts.RoleViewer {
		return "a " + string(r)
	}
	return "an " + string(r)
}

// Types of the problems that refusals become, so that a client need not read their text.
const (
	TypeSignIn = "urn:latchkey:problem:sign-in" // nobody has signed in
	TypeRole   = "urn:latchkey:problem:role"    // the account's role is too low
	TypeScope  = "urn:latchkey:problem:scope"   // the token's scopes are not enough
	TypeStep   = "urn:latchkey:problem:step"    // a second step, or the password, must be given again

	TypeWrong   = "urn:latchkey:problem:wrong"    // a password, code or passkey is wrong
	TypeWait    = "urn:latchkey:problem:wait"     // too many tries: wait
	TypeNotKept = "urn:latchkey:problem:not-kept" // sign-ins can be neither read nor stored now
)

// Refusal is why a principal may not call an operation.
type Refusal struct {
	Status int // of HTTP
	Type   string
	Fresh  Freshness     // that is needed, where Type is TypeStep
	Wait   time.Duration // how long to wait before another try; 0: not known
	Detail string        // for people
}

func (r *Refusal) Error() string { return r.Detail }

type principalKey struct{}

// WithPrincipal returns a context whose requests are made by this principal.
func WithPrincipal(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// PrincipalOf returns the principal who makes the request of a context. Without [WithPrincipal]
// that is nobody.
func PrincipalOf(ctx context.Context) Principal {
	p, _ := ctx.Value(principalKey{}).(Principal)
	return p
}

// As returns a handler that treats every request as made by one principal.
func As(p Principal, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(WithPrincipal(r.Context(), p)))
	})
}
