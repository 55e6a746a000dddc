// Package terminal is what all commands share between this program and whoever typed its command
// line: the order of words, wrong uses, lines that are read and lines that are printed. It knows no
// gateway.
package terminal

import (
	"fmt"

	"github.com/urfave/cli/v2"
)

// JSONFlag is the global flag that asks for an answer as JSON.
const JSONFlag = "json"

// UsageError is a wrong use of the command line. Its text says what to do instead.
type UsageError struct{ Text string }

func (e UsageError) Error() string { return e.Text }

// WrongUse makes the error of a command that was used wrongly.
func WrongUse(c *cli.Context, format string, a ...any) error {
	return UsageError{NameCommand(c) + ": " + fmt.Sprintf(format, a...)}
}

// NameCommand returns the command as the user wrote it: latchkey target add.
func NameCommand(c *cli.Context) string {
	if c == nil || c.Command == nil {
		return "latchkey"
	}
	return c.Command.HelpName
}
