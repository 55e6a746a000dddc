package doctor

import "testing"

func TestNear(t *testing.T) {
	const id = "lk-0123456789"
	for _, tc := range []struct {
		rule, text string
		want       bool
	}{
		{"the same", id, true},
		{"one changed", "lk-0123x56789", true},
		{"two changed", "lk-x12345678x", true},
		{"three changed", "lk-xx2345678x", false},
		{"two left out at the front", "-0123456789", true},
		{"three left out", "0123456789", false},
		{"two too many at the end", id + "00", true},
		{"three too many", id + "000", false},
		{"two that changed places", "lk-0123546789", true},
		{"one moved to the end", "lk-1234567890", true},
		{"two that changed places, twice", "lk-1032456789", false},
		{"capitals and spaces around", " LK-0123456789\n", true},
		{"nothing", "", false},
		{"something else", "front-reader", false},
	} {
		if got := isNear(normalize(tc.text), id); got != tc.want {
			t.Errorf("%s: %q: got %v, want %v", tc.rule, tc.text, got, tc.want)
		}
		if got := isNear(id, normalize(tc.text)); got != tc.want {
			t.Errorf("%s: the other way round: got %v, want %v", tc.rule, got, tc.want)
		}
	}
}
