// Package route stands between HTTP and the functions that answer operations: it checks what an
// operation needs, bounds and reads a request, and turns answers and errors into what travels.
package route

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"path"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"latchkey/gateway/account"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/openapi"
)

// Router registers operations.
type Router struct {
	huma.API
	Demands map[string]api.Demand // what each operation needs, by its id
	Log     *slog.Logger
}

// QuoteTag returns a record's tag as headers have it.
func QuoteTag(tag string) string { return `"` + tag + `"` }

// CheckBefore checks the need of an operation before the body is parsed.
func (r *Router) CheckBefore(op *huma.Operation, d api.Demand, matches bool) {
	r.Demands[op.OperationID] = d
	op.Middlewares = append(op.Middlewares, func(c huma.Context, next func(huma.Context)) {
		p := account.PrincipalOf(c.Context())
		if refused := d.Refuse(p, ownAccount(p, c.Param("ref"))); refused != nil {
			c.SetHeader("Content-Type", "application/problem+json")
			c.SetStatus(refused.Status)
			_ = json.NewEncoder(c.BodyWriter()).Encode(problemOf(refused)) // the client is gone
			return
		}
		reply := &Reply{IfMatch: headerValues(c, "If-Match")}
		if len(reply.IfMatch) > 0 && !matches {
			c.SetHeader("Content-Type", "application/problem+json")
			c.SetStatus(http.StatusBadRequest)
			_ = json.NewEncoder(c.BodyWriter()).Encode(&huma.ErrorModel{Status: http.StatusBadRequest,
				Title:  http.StatusText(http.StatusBadRequest),
				Detail: "this operation does not support If-Match"}) // the client is gone
			return
		}
		next(huma.WithValue(c, replyKey{}, reply))
	})
}

// Reply holds what travels in headers: in the request besides its input, and in the answer besides
// its body.
type Reply struct {
	IfMatch  []string // which tag the record to be changed should have; see RFC 9110, section 13.1.1
	Notice   string   // what the caller must know besides: that a change is not durable
	Location string   // of what was made, relative to the request; empty: its id follows the path
}

// headerValues returns the values of a header, which may be there several times, or be empty.
func headerValues(c huma.Context, name string) (values []string) {
	c.EachHeader(func(n, value string) {
		if strings.EqualFold(n, name) {
			values = append(values, value)
		}
	})
	return values
}

type replyKey struct{}

// ReplyOf returns the reply of a context, nil outside an operation.
func ReplyOf(ctx context.Context) *Reply {
	r, _ := ctx.Value(replyKey{}).(*Reply)
	return r
}

// ownAccount tells whether an operation on an account concerns the principal's own. The account
// must be named by its id, because another account could have its name a moment later.
func ownAccount(p account.Principal, ref string) bool {
	return p.Account != "" && ref == string(p.Account)
}

func problemOf(r *account.Refusal) *huma.ErrorModel {
	return &huma.ErrorModel{Type: r.Type, Title: http.StatusText(r.Status), Status: r.Status,
		Detail: r.Detail}
}

// Guard checks a need before a handler that is not an operation of huma's.
func (r *Router) Guard(d api.Demand, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if refused := d.Refuse(account.PrincipalOf(r.Context()), false); refused != nil {
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

// body is the form of an answer that huma sends.
type body[T any] struct {
	Notice   string `header:"Latchkey-Notice" doc:"a warning to the caller: the change is not durable"`
	ETag     string `header:"ETag" doc:"the member etag of a record, in quotes"`
	Location string `header:"Location" doc:"of the new record"`
	Body     T
}

// Handle registers the function that answers an operation. Errors become problems only here.
func Handle[In, Out any](r *Router, op api.Operation[In, Out],
	h func(context.Context, *In) (Out, error)) {
	described := openapi.Describe(op)
	r.CheckBefore(&described, op.Needs, op.Matches)
	huma.Register(r.API, described, func(ctx context.Context, in *In) (*body[Out], error) {
		out, err := h(ctx, in)
		if err != nil {
			return nil, r.MakeProblem(ctx, op.ID, err)
		}
		reply := ReplyOf(ctx)
		b := &body[Out]{Notice: reply.Notice, Body: out}
		if t, ok := any(&out).(interface{ Tag() string }); ok && t.Tag() != "" {
			b.ETag = QuoteTag(t.Tag())
		}
		if op.Status() == http.StatusCreated {
			b.Location = cmp.Or(reply.Location, path.Base(op.Path)+"/"+idOf(out))
		}
		return b, nil
	})
	openapi.DescribeHeaders(r.OpenAPI(), op)
}

// idOf returns the id of the record that an operation has made.
func idOf(out any) string { return fmt.Sprint(reflect.ValueOf(out).FieldByName("ID")) }

// HandleCases registers an operation with one need for each value of a member of its body. value
// reads that member from the input.
func HandleCases[In, Out any](r *Router, op api.Operation[In, Out], value func(*In) any,
	h func(context.Context, *In) (Out, error)) {
	Handle(r, op, func(ctx context.Context, in *In) (Out, error) {
		if refused := op.Needs.Need(value(in)).Check(account.PrincipalOf(ctx), false); refused != nil {
			var none Out
			return none, refused
		}
		return h(ctx, in)
	})
}
