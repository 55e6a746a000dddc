package page

import (
	"strings"
	"unicode"
	"unicode/utf8"
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
