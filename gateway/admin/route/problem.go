package route

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

// ErrChanged is the error of a change to a record that has changed since the caller saw it.
var ErrChanged = errors.New("somebody else has changed it meanwhile: look at it as it is now")

// MakeProblem maps an error to an HTTP status and a body of RFC 9457.
func (r *Router) MakeProblem(ctx context.Context, operation string, err error) error {
	status, kind := http.StatusInternalServerError, ""
	if refused := (*account.Refusal)(nil); errors.As(err, &refused) {
		if refused.Wait > 0 {
			seconds := strconv.Itoa(int(math.Ceil(refused.Wait.Seconds())))
			return huma.ErrorWithHeaders(problemOf(refused), http.Header{"Retry-After": {seconds}})
		}
		return problemOf(refused)
	}
	switch {
	case errors.As(err, new(Unavailable)):
		status = http.StatusServiceUnavailable
	case errors.As(err, new(Crowded)):
		status = http.StatusTooManyRequests
	case errors.Is(err, ErrNoGateway):
		status, kind = http.StatusServiceUnavailable, api.TypeNoGateway
	case errors.Is(err, ErrChanged):
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
		r.Log.ErrorContext(ctx, "admin request", "operation", operation, "err", err)
	}
	return &huma.ErrorModel{Type: kind, Title: http.StatusText(status), Status: status,
		Detail: text.MakePlain(err.Error())}
}

// Unavailable is an error that may go away by itself.
type Unavailable struct{ Err error }

func (u Unavailable) Error() string { return u.Err.Error() }

// Unwrap returns Err.
func (u Unavailable) Unwrap() error { return u.Err }

// Crowded is the error of a client that has reached its limit.
type Crowded struct{ Err error }

func (c Crowded) Error() string { return c.Err.Error() }

// Unwrap returns Err.
func (c Crowded) Unwrap() error { return c.Err }

// MarkInvalid turns an error about the request into one that wraps [access.ErrInvalid].
func MarkInvalid(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", access.ErrInvalid, err)
}

// PlainProblem puts the errors of a request into one sentence. It drops the values, because one of
// them may be the UID of a card.
func PlainProblem(_ huma.Context, _ string, v any) (any, error) {
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

// WrapOutside makes an error about somebody else's server one that may go away by itself.
func WrapOutside(name string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, access.ErrNotFound):
		return fmt.Errorf("%s: %w", name, err)
	}
	return Unavailable{Err: fmt.Errorf("%s: %w", name, err)}
}
