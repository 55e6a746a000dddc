package terminal

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
)

// LineReader reads lines of an input that may be a terminal, where the next one may never come.
type lineReader struct{ in *bufio.Scanner }

// NewLineReader reads lines of r.
func NewLineReader(r io.Reader) *lineReader { return &lineReader{bufio.NewScanner(r)} }

// Next returns the next line, io.EOF after the last, and ctx's error as soon as ctx ends; then it
// must not be called again. Nothing is read before it is asked for, so what is typed after the last
// line needed is left to the next program.
func (l *lineReader) Next(ctx context.Context) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	type line struct {
		text string
		err  error
	}
	got := make(chan line, 1)
	go func() { // may end only with the program: a read from a terminal cannot be taken back
		if l.in.Scan() {
			got <- line{text: l.in.Text()}
			return
		}
		err := l.in.Err()
		if err == nil {
			err = io.EOF
		}
		got <- line{err: err}
	}()
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case g := <-got:
		return g.text, g.err
	}
}

// ForEach calls f with each line that is not blank, until the input ends or ctx does. An interrupt
// is how a person ends it, and no error.
func (l *lineReader) ForEach(ctx context.Context, f func(string) error) error {
	for {
		line, err := l.Next(ctx)
		switch {
		case errors.Is(err, io.EOF) || ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("read standard input: %w", err)
		case strings.TrimSpace(line) == "":
			continue
		}
		if err := f(line); err != nil {
			return err
		}
	}
}
