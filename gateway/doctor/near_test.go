package doctor

import "testing"

func TestNear(t *testing.T) {
	const id = "lk-0123456789"
	for _, tc := range []struct {
		rule, text string
		want       bool
	}{
		{"the same id", id, true},
		{"one character changed", "lk-0123x56789", true},
		{"two characters changed", "lk-x12345678x", true},
		{"three characters changed", "lk-xx2345678x", false},
		{"two characters missing at the front", "-0123456789", true},
		{"three characters missing", "0123456789", false},
		{"two extra characters at the end", id + "00", true},
		{"three extra characters", id + "000", false},
		{"two characters swapped", "lk-0123546789", true},
		{"one character moved to the end", "lk-1234567890", true},
		{"two characters swapped, twice", "lk-1032456789", false},
		{"capitals and spaces around", " LK-0123456789\n", true},
		{"nothing", "", false},
		{"something else", "front-reader", false},
	} {
		if got := isNear(normalize(tc.text), id); got != tc.want {
			t.Errorf("%s: %q: got %v, want %v", tc.rule, tc.text, got, tc.want)
		}
		if got := isNear(id, normalize(tc.text)); got != tc.want {
			t.Errorf("%s: with swapped arguments: got %v, want %v", tc.rule, got, tc.want)
		}
	}
}
