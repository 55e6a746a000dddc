package text

import (
	"strings"
	"unicode/utf8"
)

// maxText is how many bytes of a text people are shown.
const maxText = 400

// MakePlain returns an error's text for people: without the names of our packages in front, and
// bounded.
func MakePlain(text string) string {
	for cut := true; cut; {
		cut = false
		for _, prefix := range []string{"access: ", "store: ", "apply: ", "keys: ", "wire: ", "mqtt: "} {
			if rest, ok := strings.CutPrefix(text, prefix); ok {
				text, cut = rest, true
			}
		}
	}
	return Shorten(text)
}

// Shorten leaves out the middle of a long text, so that an answer repeats little of what somebody
// sent.
func Shorten(text string) string {
	if len(text) <= maxText {
		return text
	}
	cut := maxText / 2
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	tail := len(text) - maxText/2
	for tail < len(text) && !utf8.RuneStart(text[tail]) {
		tail++
	}
	return text[:cut] + " … " + text[tail:]
}
