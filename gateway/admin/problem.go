package admin

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"latchkey/gateway/access"
	"latchkey/gateway/account"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/store"
	"latchkey/gateway/text"
)

// ErrNoGateway is the error of an operation that needs a running gateway if there is none.
var ErrNoGateway = errors.New("this needs a running gateway: start one with latchkey serve")

// makeProblem maps an error to an HTTP status and a body of RFC 9457.
func (a *server) makeProblem(ctx context.Context, operation string, err error) error {
	status, kind := http.StatusInternalServerError, ""
	if refused := (*account.Refusal)(nil); errors.As(err, &refused) {
		if refused.Wait > 0 {
			seconds := strconv.Itoa(int(math.Ceil(refused.Wait.Seconds())))
			return huma.ErrorWithHeaders(problemOf(refused), http.Header{"Retry-After": {seconds}})
		}
		return problemOf(refused)
	}
	switch {
	case errors.As(err, new(unavailable)):
		status = http.StatusServiceUnavailable
	case errors.As(err, new(crowded)):
		status = http.StatusTooManyRequests
	case errors.Is(err, ErrNoGateway):
		status, kind = http.StatusServiceUnavailable, api.TypeNoGateway
	case errors.Is(err, errChanged):
		status, kind = http.StatusPreconditionFailed, api.TypeChanged
	case errors.Is(err, access.ErrNotFound):
		status = http.StatusNotFound
	case errors.Is(err, access.ErrConflict), errors.Is(err, access.ErrInUse):
		status = http.StatusConflict
	case errors.Is(err, access.ErrInvalid):
		status = http.StatusUnprocessableEntity
	case errors.Is(err, context.DeadlineExceeded):
		status = http.StatusGatewayTimeout
	case errors.Is(err, context.Canceled):
		status = http.StatusServiceUnavailable
	case errors.Is(err, store.ErrNoSpace):
		status = http.StatusInsufficientStorage
	case errors.Is(err, store.ErrRefused):
		status = http.StatusUnprocessableEntity
	case errors.Is(err, store.ErrTooBig):
		status = http.StatusRequestEntityTooLarge
	case errors.Is(err, store.ErrFailed), errors.Is(err, store.ErrClosed):
		status = http.StatusServiceUnavailable
	}
	if status == http.StatusInternalServerError {
		a.Log.ErrorContext(ctx, "admin request", "operation", operation, "err", err)
	}
	return &huma.ErrorModel{Type: kind, Title: http.StatusText(status), Status: status,
		Detail: text.MakePlain(err.Error())}
}

// unavailable is an error that may go away by itself.
type unavailable struct{ error }

func (u unavailable) Unwrap() error { return u.error }

// crowded is the error of a client that has reached its limit.
type crowded struct{ error }

func (c crowded) Unwrap() error { return c.error }

// markInvalid turns an error about the request into one that wraps [access.ErrInvalid].
func markInvalid(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", access.ErrInvalid, err)
}

// plainProblem puts the errors of a request into one sentence. It drops the values, because one of
// them may be the UID of a card.
func plainProblem(_ huma.Context, _ string, v any) (any, error) {
	m, ok := v.(*huma.ErrorModel)
	if !ok || len(m.Errors) == 0 {
		return v, nil
	}
	var what []string
	for i, e := range m.Errors {
		if i == 8 {
			what = append(what, "and more")
			break
		}
		what = append(what, text.Shorten(strings.TrimPrefix(strings.TrimPrefix(e.Location, "body."),
			"body")+": "+e.Message))
	}
	plain := *m
	plain.Detail, plain.Errors = text.Shorten(strings.TrimPrefix(strings.Join(what, "; "), ": ")), nil
	return &plain, nil
}
