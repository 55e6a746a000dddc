// Package retention is the kind of record that says how long events are kept. It removes nothing;
// the store does.
package retention

import (
	"fmt"
	"strconv"
	"strings"

	"latchkey/gateway/access"
	"latchkey/gateway/access/edit"
	"latchkey/gateway/text"
)

// Setting says how long events are kept. A policy has at most one. Without one, events are kept for
// ever.
type Setting struct {
	// Days is how many days events are kept at least.
	Days int `json:"days"`
}

// Bounds of [Setting.Days]. Events of the last day are needed after a restart.
const (
	MinDays = 1
	MaxDays = 36_500
)

// In returns the setting of a policy; zero: events are kept for ever.
func In(p *access.Policy) Setting { return Kind.In(p)[struct{}{}] }

// Kind is the kind of [Setting].
var Kind = &access.Kind[struct{}, Setting]{
	Name:  "retention",
	ID:    func(Setting) struct{} { return struct{}{} },
	Order: func(_, _ struct{}) int { return 0 },
	Blank: func(struct{}) Setting { return Setting{} },
	Leaf:  true,

	Normal: func(_ *access.Draft, r Setting) (Setting, error) { return r, nil },
	Check: func(_ *access.Draft, r Setting) error {
		if r.Days < MinDays || r.Days > MaxDays {
			return fmt.Errorf("events cannot be kept for %d days: want %d to %d", r.Days, MinDays, MaxDays)
		}
		return nil
	},

	Label:   func(access.Namer, Setting) string { return "retention of events" },
	Details: func(_ access.Namer, r Setting) string { return ": " + CountDays(r.Days) },
	Difference: func(_ access.Namer, _ string, b, a Setting, say *edit.Sentences) {
		say.If(a.Days != b.Days, "keep events for ", CountDays(a.Days), " instead of ", CountDays(b.Days))
	},
}

// CountDays writes a number of days for people.
func CountDays(n int) string {
	if n == 1 {
		return "1 day"
	}
	return strconv.Itoa(n) + " days"
}

// ParseDays reads a number of days like 400d, or of weeks like 8w. Its error repeats the text and says
// what is wanted.
func ParseDays(s string) (int, error) {
	number, weeks := strings.CutSuffix(s, "w")
	if !weeks {
		number = strings.TrimSuffix(s, "d")
	}
	n, err := strconv.ParseUint(number, 10, 16)
	if weeks {
		n *= 7
	}
	if err != nil || number == s || n < MinDays || n > MaxDays {
		return 0, fmt.Errorf("%q: want days like 400d, or weeks like 8w: at least %dd and at most %dd",
			text.Shorten(s), MinDays, MaxDays)
	}
	return int(n), nil
}
