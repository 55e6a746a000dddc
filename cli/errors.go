package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"unicode"

	"github.com/urfave/cli/v2"

	"latchkey/gateway/admin"
)

// usageError is a wrong use of the command line. Its text says what to do instead.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

// usagef makes the error of a command that was used wrongly.
func usagef(c *cli.Context, format string, a ...any) error {
	return usageError{commandName(c) + ": " + fmt.Sprintf(format, a...)}
}

// commandName is what the user wrote to get here: latchkey target add.
func commandName(c *cli.Context) string {
	if c == nil || c.Command == nil {
		return "latchkey"
	}
	return c.Command.HelpName
}

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
	var usage usageError
	var api apiError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		say(stderr, usage.text)
		return 2
	case errors.Is(err, errNoGateway), errors.As(err, &api) && api.kind == admin.TypeNoGateway:
		say(stderr, "latchkey: "+err.Error())
		return 3
	case errors.As(err, &api) && (api.status == http.StatusUnprocessableEntity || api.status == http.StatusBadRequest):
		say(stderr, "latchkey: "+err.Error())
		return 2
	case errors.Is(err, context.Canceled):
		say(stderr, "latchkey: interrupted")
		return 1
	}
	say(stderr, "latchkey: "+err.Error())
	return 1
}

// say prints one line.
func say(w io.Writer, text string) {
	_, _ = fmt.Fprintln(w, oneLine(text)) // there is nobody to tell
}

// oneLine quotes what would move the cursor or break the line: part of it may have come from outside.
func oneLine(text string) string {
	var b strings.Builder
	for _, r := range text {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		q := strconv.QuoteRune(r)
		b.WriteString(q[1 : len(q)-1])
	}
	return b.String()
}
