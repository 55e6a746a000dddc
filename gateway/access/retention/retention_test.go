package retention

import "testing"

func TestParseDays(t *testing.T) {
	for text, want := range map[string]int{"400d": 400, "1d": 1, "8w": 56, "36500d": 36_500, "": 0, "d": 0, "w": 0,
		"0d": 0, "400": 0, "12h": 0, "-1d": 0, "1.5d": 0, "36501d": 0, "9999w": 0, "65536d": 0, "1dd": 0, "1wd": 0} {
		if got, err := ParseDays(text); got != want || (err == nil) != (want > 0) {
			t.Errorf("%q: got %d, %v, want %d", text, got, err, want)
		}
	}
}
