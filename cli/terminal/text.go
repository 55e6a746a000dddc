package terminal

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"

	"github.com/dustin/go-humanize/english"
)

// PrintLine prints one line.
func PrintLine(w io.Writer, text string) {
	_, _ = fmt.Fprintln(w, QuoteLine(text)) // there is nobody to tell
}

// QuoteLine quotes characters that would move the cursor or break the line, because part of the
// text may come from outside.
func QuoteLine(text string) string {
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

// JoinOr returns a choice in words: a, b or c.
func JoinOr(names []string) string { return english.WordSeries(names, "or") }

// ShortenWord shortens a mistyped word for an error.
func ShortenWord(s string) string {
	if len(s) > 64 {
		return strings.ToValidUTF8(s[:64], "") + "…"
	}
	return s
}
