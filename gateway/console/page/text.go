package page

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Sentence makes the API's words one for a page.
func Sentence(s string) string {
	if s = Capital(s); s != "" && !strings.HasSuffix(s, ".") {
		s += "."
	}
	return s
}

// Capital begins with a capital letter.
func Capital(s string) string {
	first, n := utf8.DecodeRuneInString(s)
	if n == 0 || first == utf8.RuneError {
		return s
	}
	return string(unicode.ToUpper(first)) + s[n:]
}
