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

// QuoteLine quotes what would move the cursor or break the line: part of it may have come from
// outside.
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

// QuoteWord makes s one word of a POSIX shell.
func QuoteWord(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' ||
			strings.ContainsRune("-._:/@%+,=", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// JoinOr is a choice in words: a, b or c.
func JoinOr(names []string) string { return english.WordSeries(names, "or") }

// ShortenWord keeps a mistake short enough to be read.
func ShortenWord(s string) string {
	if len(s) > 64 {
		return strings.ToValidUTF8(s[:64], "") + "…"
	}
	return s
}
