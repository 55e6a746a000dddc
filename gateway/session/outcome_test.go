package session

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	coap "github.com/plgd-dev/go-coap/v3/message/codes"

	"latchkey/coapres"
)

// An event says in a sentence why a command was not acknowledged. The texts of Go, go-coap and the
// network are only for the log.
func TestExplainFailure(t *testing.T) {
	write := errors.New("cannot write request: cannot write request")
	for _, c := range []struct {
		err  error
		want string
	}{
		{ErrOffline, ""},
		{fmt.Errorf("%w: %w", ErrUnheard, write),
			"it speaks from a new address and has not answered there, so nothing was sent"},
		{coapres.ErrLate, "more than 1.5s had passed since the tap, so nothing was sent"},
		{&coapres.CodeError{Code: coap.BadRequest}, "its device refused it, with the code 4.00"},
		{coapres.ErrNotObeyed, "its device did not do it"},
		{fmt.Errorf("%w: %w", coapres.ErrNoReceipt, context.DeadlineExceeded),
			"its device did not answer in time"},
		{fmt.Errorf("%w: %w", coapres.ErrNoReceipt, write),
			"the connection to its device failed before it answered"},
	} {
		got := ExplainFailure(c.err)
		if got != c.want {
			t.Errorf("%v: got %q, want %q", c.err, got, c.want)
		}
		if strings.Contains(got, "cannot write") {
			t.Errorf("%v: got %q, which contains the text of a library", c.err, got)
		}
	}
}
