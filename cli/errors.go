package cli

import (
	"context"
	"errors"
	"io"
	"net/http"

	"latchkey/cli/connection"
	"latchkey/cli/terminal"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/client"
)

// exit maps an error to an exit status and prints it, in one line.
func exit(stderr io.Writer, err error) int {
	var usage terminal.UsageError
	var refused *client.Problem
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		terminal.PrintLine(stderr, usage.Text)
		return 2
	case errors.Is(err, connection.ErrNoGateway),
		errors.As(err, &refused) && refused.Type == api.TypeNoGateway:
		terminal.PrintLine(stderr, "latchkey: "+err.Error())
		return 3
	case errors.As(err, &refused) &&
		(refused.Status == http.StatusUnprocessableEntity || refused.Status == http.StatusBadRequest):
		terminal.PrintLine(stderr, "latchkey: "+err.Error())
		return 2
	case errors.Is(err, context.Canceled):
		terminal.PrintLine(stderr, "latchkey: interrupted")
		return 1
	}
	terminal.PrintLine(stderr, "latchkey: "+err.Error())
	return 1
}
