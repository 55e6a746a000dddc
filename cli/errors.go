package cli

import (
	"context"
	"errors"
	"io"
	"net/http"

	"latchkey/cli/terminal"
	"latchkey/gateway/admin/api"
)

// apiError is an answer of the admin API that is not a success.
type apiError struct {
	status int
	kind   string
	detail string
}

func (e apiError) Error() string { return e.detail }

// errNoGateway is the error of a command that needs a running gateway.
var errNoGateway = errors.New("no gateway is running")

// exit maps an error to an exit status and prints it, in one line.
func exit(stderr io.Writer, err error) int {
	var usage terminal.UsageError
	var refused apiError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		terminal.PrintLine(stderr, usage.Text)
		return 2
	case errors.Is(err, errNoGateway), errors.As(err, &refused) && refused.kind == api.TypeNoGateway:
		terminal.PrintLine(stderr, "latchkey: "+err.Error())
		return 3
	case errors.As(err, &refused) && (refused.status == http.StatusUnprocessableEntity || refused.status == http.StatusBadRequest):
		terminal.PrintLine(stderr, "latchkey: "+err.Error())
		return 2
	case errors.Is(err, context.Canceled):
		terminal.PrintLine(stderr, "latchkey: interrupted")
		return 1
	}
	terminal.PrintLine(stderr, "latchkey: "+err.Error())
	return 1
}
