package text

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxName is how many bytes a name may have.
const MaxName = 64

// CheckName checks a name in any script, such as a person's.
func CheckName(name string) error {
	switch {
	case len(name) < 1 || len(name) > MaxName:
		return fmt.Errorf("the name has %d bytes: want 1 to %d", len(name), MaxName)
	case !IsPrintable(name):
		return errors.New("want a name of printable characters, without spaces at its ends")
	}
	return nil
}

// CheckHandle checks a name that stands in URLs and on command lines.
func CheckHandle(name string) error {
	if len(name) < 1 || len(name) > MaxName {
		return fmt.Errorf("the name has %d bytes: want 1 to %d", len(name), MaxName)
	}
	for i := range len(name) {
		c := name[i]
		plain := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		if !plain && (i == 0 || !strings.ContainsRune("._-", rune(c))) {
			return errors.New("want a name of a-z 0-9 . _ - that starts with a letter or a digit")
		}
	}
	return nil
}

// IsPrintable admits spaces inside, and no control or invisible formatting characters, which would
// let two names look alike.
func IsPrintable(s string) bool {
	invisible := func(c rune) bool { return !unicode.IsPrint(c) }
	return utf8.ValidString(s) && strings.TrimSpace(s) == s && strings.IndexFunc(s, invisible) < 0
}

// Quote quotes text that would not show as it is: a refused name must not write into a terminal or
// a log.
func Quote(s string) string {
	if s == "" || !IsPrintable(s) {
		return strconv.Quote(s)
	}
	return s
}
