package coapres

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/message/pool"

	"latchkey/coapres/wire"
)

// MaxDiagnostic bounds the diagnostic payload of a refusal (RFC 7252 §5.5.2), in bytes. It names
// the member or option that is wrong, never its value.
const MaxDiagnostic = 64

// Refusal is a request that was answered with 4.xx or 5.xx, by either side.
type Refusal struct {
	At       time.Time
	ByDevice bool   // the device refused the gateway's request; otherwise the gateway refused the device's
	Request  string // like "POST /scan"; empty if the request was refused before its path was read
	Code     codes.Code
	Why      string // the diagnostic payload; empty if there was none
}

// CodeText returns a code as people write it, like 4.00.
func CodeText(c codes.Code) string { return fmt.Sprintf("%d.%02d", c>>5, c&31) }

// Refuse reports a refusal to Refused, if that is set.
func (p *Peer) Refuse(r Refusal) {
	if p.Refused != nil {
		p.Refused(r)
	}
}

// diagnosticOf returns what the other side is told about an error.
func diagnosticOf(err error, req *pool.Message) string {
	var body *wire.BodyError
	if errors.As(err, &body) {
		return clip(body.Message + ": " + body.Why)
	}
	if errors.Is(err, ErrStale) && EchoOf(req) == nil {
		return "no Echo"
	}
	var busy *BusyError
	if errors.As(err, &busy) {
		return busy.Error()
	}
	for _, known := range []error{errTooLong, wire.ErrTooLong, errAgeBounds, errQuery, errLinks, ErrStale,
		ErrForbidden, errOtherName, ErrNotFound,
		errNoResource, errMethod, errNotAcceptable, errContentFormat, wire.ErrFormat, wire.ErrMalformed,
		ErrUndecided} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return "could not decide" // the error itself may name things of this machine
}

// Diagnostic returns why the other side refused a request, or nothing if it does not say. It is the
// other side's text, cut and cleaned to one short line of printable characters.
func (a Answer) Diagnostic() string {
	if a.Code < codes.BadRequest || !utf8.Valid(a.Body) {
		return ""
	}
	return clip(strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1
	}, string(a.Body)))
}

// clip cuts a text to MaxDiagnostic bytes, between two characters.
func clip(s string) string {
	if len(s) <= MaxDiagnostic {
		return s
	}
	n := MaxDiagnostic
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
