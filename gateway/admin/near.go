package admin

import "strings"

// maxSlips is how many characters of an identity a person gets wrong in one go.
const maxSlips = 2

// slipless is text without what is easily typed in addition.
func slipless(text string) string { return strings.ToLower(strings.TrimSpace(text)) }

// isNear tells whether b is a with at most maxSlips characters changed, put in or left out (Levenshtein's distance).
func isNear(a, b string) bool {
	if len(a)-len(b) > maxSlips || len(b)-len(a) > maxSlips {
		return false
	}
	row := make([]int, len(b)+1) // row[j] is the distance of a[:i] and b[:j]
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		left := row[0] // of the row above, one to the left
		row[0] = i + 1
		least := row[0]
		for j := range len(b) {
			d := left
			if a[i] != b[j] {
				d = 1 + min(left, row[j], row[j+1])
			}
			left, row[j+1] = row[j+1], d
			least = min(least, d)
		}
		if least > maxSlips {
			return false
		}
	}
	return row[len(b)] <= maxSlips
}
