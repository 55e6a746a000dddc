package page

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"latchkey/gateway/admin/api"
)

// Sentence turns a text of the API into a sentence for a page.
func Sentence(s string) string {
	if s = Capital(s); s != "" && !strings.HasSuffix(s, ".") {
		s += "."
	}
	return s
}

// Capital returns the text with a capital first letter.
func Capital(s string) string {
	first, n := utf8.DecodeRuneInString(s)
	if n == 0 || first == utf8.RuneError {
		return s
	}
	return string(unicode.ToUpper(first)) + s[n:]
}

// DescribeChanges returns, in a sentence, what a change did.
func DescribeChanges(c api.Changed) string {
	if len(c.Changes) == 0 {
		return "It is so already."
	}
	if len(c.Changes) > 4 {
		return Sentence(fmt.Sprintf("%s and %d more", strings.Join(c.Changes[len(c.Changes)-3:], ", "),
			len(c.Changes)-3))
	}
	return Sentence(strings.Join(c.Changes, ", "))
}
