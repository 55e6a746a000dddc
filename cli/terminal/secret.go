package terminal

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"
)

// ReadSecret reads a secret from standard input. On a terminal it does not show it, and asks twice
// for a new one; else it reads a line.
func ReadSecret(c *cli.Context, what string, fresh bool) (string, error) {
	if in, ok := c.App.Reader.(*os.File); ok && term.IsTerminal(int(in.Fd())) {
		first, err := readHidden(c, in, what+": ")
		if err != nil || !fresh {
			return first, err
		}
		again, err := readHidden(c, in, "once more: ")
		if err == nil && first != again {
			err = errors.New("the two differ: nothing was changed")
		}
		return first, err
	}
	line, err := NewLineReader(io.LimitReader(c.App.Reader, 1024)).Next(c.Context)
	if errors.Is(err, io.EOF) {
		return "", WrongUse(c, "there is no %s on standard input: write it there, on one line", what)
	}
	return line, err
}

func readHidden(c *cli.Context, in *os.File, prompt string) (string, error) {
	PrintLine(c.App.ErrWriter, prompt)
	b, err := term.ReadPassword(int(in.Fd()))
	if err != nil {
		return "", fmt.Errorf("read from the terminal: %w", err)
	}
	return string(b), nil
}
