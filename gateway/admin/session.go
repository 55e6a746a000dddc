package admin

import (
	"context"
	"net/http"
	"strings"

	"latchkey/gateway/access"
	"latchkey/gateway/account"
)

// Session is who makes the request, and whether it may do what it asks about.
type Session struct {
	Refused *Refused `json:"refused,omitempty" doc:"why the operation that was asked about would be refused"`
}

// Refused is why an operation would be refused.
type Refused struct {
	Status int    `json:"status" doc:"of HTTP"`
	Type   string `json:"type" doc:"urn:latchkey:problem:role or urn:latchkey:problem:step"`
	Fresh  string `json:"fresh,omitempty" enum:"confirmed,second" doc:"how lately a second step must have been given, where the type is step"`
	Detail string `json:"detail"`
}

// SessionQuery asks about an operation.
type SessionQuery struct {
	Operation string `query:"operation" maxLength:"64" doc:"id of an operation; where it needs different things for different values in its body, a space and the value follow"`
}

func (a *api) sessionRoutes() {
	handle(a, account.Need{Role: access.RoleViewer}, http.MethodGet, "/v1/session", "get-session", "Who has signed in, and whether they may call an operation now",
		func(ctx context.Context, in *SessionQuery) (*body[Session], error) {
			return answer(a.session(ctx, in.Operation))
		})
}

func (a *api) session(ctx context.Context, operation string) (out Session, err error) {
	if operation == "" {
		return out, nil
	}
	id, value, _ := strings.Cut(operation, " ")
	d, ok := a.demands[id]
	if !ok {
		return out, missing("operation", id)
	}
	// An operation on an account is asked about as one on one's own: whoever may call it for others has a role for that.
	if r := d.need(value).Check(account.PrincipalOf(ctx), true); r != nil {
		out.Refused = &Refused{Status: r.Status, Type: r.Type, Detail: r.Detail}
		if r.Fresh != account.Stale {
			out.Refused.Fresh = r.Fresh.String()
		}
	}
	return out, nil
}
