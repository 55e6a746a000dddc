package edit

import (
	"errors"
	"slices"
	"strings"
	"time"
)

// NormalizeTime drops the monotonic reading and the zone, so that a record compares equal to its
// stored copy.
func NormalizeTime(t time.Time) time.Time { return t.Round(0).UTC() }

// NormalizeTimes does so with each of them.
func NormalizeTimes(times ...*time.Time) {
	for _, t := range times {
		*t = NormalizeTime(*t)
	}
}

// NormalizeList returns a sorted copy without duplicates, nil for none.
func NormalizeList[E ~string | ~uint8](s []E) []E {
	if len(s) == 0 {
		return nil
	}
	s = slices.Clone(s)
	slices.Sort(s)
	return slices.Compact(s)
}

// Sentences collects what there is to say about a change of a record, for access.Kind.Difference.
type Sentences struct{ Said []string }

// If adds a sentence, joined from its parts, if is holds.
func (s *Sentences) If(is bool, parts ...string) {
	if is {
		s.Said = append(s.Said, strings.Join(parts, ""))
	}
}

// Subtract returns the members of a that b lacks.
func Subtract[E comparable](a, b []E) []E {
	has := make(map[E]bool, len(b))
	for _, e := range b {
		has[e] = true
	}
	return slices.DeleteFunc(slices.Clone(a), func(e E) bool { return has[e] })
}

// IsWindow tells whether [from, until) holds an instant; a zero end is open.
func IsWindow(from, until time.Time) bool { return until.IsZero() || from.Before(until) }

// ErrNotDurable says that a change has taken effect but is in memory only. It is lost if the
// gateway ends before there is space again.
var ErrNotDurable = errors.New("it acts now, but it is NOT durable: the disk is full, " +
	"and it is lost if the gateway stops before there is space again")
