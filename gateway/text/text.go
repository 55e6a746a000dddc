// Package text bounds and checks the texts that people write and see: names, and the words of an
// error. It knows neither records nor pages.
package text

import (
	"slices"
	"strconv"
	"strings"
)

// AndMore returns how many more there are than those that were shown, in words: " and 3 more". For
// none it returns "".
func AndMore(n int) string {
	if n < 1 {
		return ""
	}
	return " and " + strconv.Itoa(n) + " more"
}

// ListSome lists names, sorted. It says how many more there are beyond five.
func ListSome(names []string) string {
	slices.Sort(names)
	if more := len(names) - 5; more > 1 {
		names = append(names[:5], strconv.Itoa(more)+" more")
	}
	return strings.Join(names, ", ")
}
