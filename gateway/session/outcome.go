package session

import (
	"context"
	"errors"
	"fmt"

	"latchkey/coapres"
	"latchkey/gateway/audit"
)

// OutcomeOf turns an error of a command into an outcome. No other function does.
func OutcomeOf(err error) audit.Outcome {
	switch {
	case err == nil:
		return audit.OutcomeDone
	case errors.Is(err, ErrOffline):
		return audit.OutcomeOffline
	case errors.Is(err, coapres.ErrLate):
		return audit.OutcomeLate
	case errors.Is(err, coapres.ErrNotObeyed):
		return audit.OutcomeRefused
	}
	return audit.OutcomeUnknown
}

// ExplainFailure says in a sentence why a command was not acknowledged. The error itself is for the
// log.
func ExplainFailure(err error) string {
	var code *coapres.CodeError
	switch {
	case errors.Is(err, ErrUnheard):
		return "it speaks from a new address and has not answered there, so nothing was sent"
	case errors.Is(err, ErrOffline):
		return "" // the outcome says it
	case errors.Is(err, coapres.ErrLate):
		return fmt.Sprintf("more than %v had passed since the tap, so nothing was sent",
			coapres.CommandWindow)
	case errors.As(err, &code):
		return fmt.Sprintf("its device refused it, with the code %d.%02d", code.Code>>5, code.Code&31)
	case errors.Is(err, coapres.ErrNotObeyed):
		return "its device did not do it"
	case errors.Is(err, context.DeadlineExceeded):
		return "its device did not answer in time"
	}
	return "the connection to its device failed before it answered"
}
