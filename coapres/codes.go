package coapres

import (
	"errors"
	"time"

	"github.com/plgd-dev/go-coap/v3/message/codes"

	"latchkey/coapres/wire"
)

// Errors of [Calls] that have a response code of their own. Any other error means that nothing
// could be decided.
var (
	ErrForbidden = errors.New("this device may not call this")
	ErrNotFound  = errors.New("no such thing for this device")
	ErrUndecided = errors.New("not decided in time")
)

// BusyError asks the peer to come back later.
type BusyError struct{ RetryAfter time.Duration }

func (e *BusyError) Error() string { return "over its rate" }

var (
	errNoResource    = errors.New("no resource at this Uri-Path")
	errMethod        = errors.New("method not allowed here")
	errTooLong       = errors.New("payload too long")
	errContentFormat = errors.New("unknown Content-Format")
	errNotAcceptable = errors.New("no representation for this Accept")
	errQuery         = errors.New("malformed Uri-Query: lt or ep")
	errOtherName     = errors.New("ep in Uri-Query is not this device's name")
	errLinks         = errors.New("links are not UTF-8")
)

// codeOf turns an error into a response code (RFC 7252 §5.9). No other function does.
func codeOf(err error) codes.Code {
	var busy *BusyError
	switch {
	case errors.Is(err, errTooLong), errors.Is(err, wire.ErrTooLong): // before ErrMalformed, which it also is
		return codes.RequestEntityTooLarge // 4.13
	case errors.Is(err, wire.ErrMalformed), errors.Is(err, errAgeBounds), errors.Is(err, errQuery),
		errors.Is(err, errLinks):
		return codes.BadRequest // 4.00
	case errors.Is(err, ErrStale):
		return codes.Unauthorized // 4.01, with an Echo (RFC 9175 §2.4)
	case errors.Is(err, ErrForbidden), errors.Is(err, errOtherName):
		return codes.Forbidden // 4.03
	case errors.Is(err, ErrNotFound), errors.Is(err, errNoResource):
		return codes.NotFound // 4.04
	case errors.Is(err, errMethod):
		return codes.MethodNotAllowed // 4.05
	case errors.Is(err, errNotAcceptable):
		return codes.NotAcceptable // 4.06
	case errors.Is(err, errContentFormat), errors.Is(err, wire.ErrFormat):
		return codes.UnsupportedMediaType // 4.15
	case errors.As(err, &busy):
		return codes.TooManyRequests // 4.29 (RFC 8516), with Max-Age
	}
	return codes.ServiceUnavailable // 5.03: could not decide
}
