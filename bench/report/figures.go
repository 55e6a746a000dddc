package report

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
)

// median returns the median of the rounds. There is at least one round.
func (f *Figure) median() float64 {
	r := slices.Sorted(slices.Values(f.Rounds))
	n := len(r)
	return (r[(n-1)/2] + r[n/2]) / 2
}

func (f *Figure) least() float64 { return slices.Min(f.Rounds) }
func (f *Figure) most() float64  { return slices.Max(f.Rounds) }

// heading returns the metric with its unit, as a column or an axis shows it.
func (f *Figure) heading() string {
	if f.Unit == "" {
		return f.Metric
	}
	return f.Metric + ", " + f.Unit
}

// text returns the median with the spread, or one number if the rounds do not differ in the digits
// that are shown.
func (f *Figure) text() string {
	mid, least, most := f.number(f.median()), f.number(f.least()), f.number(f.most())
	if least == most {
		return mid
	}
	return mid + " (" + least + "–" + most + ")"
}

// number formats v with three significant digits. A small whole number of bytes, or a small count,
// is shown exactly.
func (f *Figure) number(v float64) string {
	if (f.Unit == "" || f.Unit == "B") && v == math.Trunc(v) && math.Abs(v) < 10_000 {
		return humanize.Comma(int64(v))
	}
	return threeDigits(v)
}

// threeDigits rounds to three significant digits: 0.0123, 1.23, 12,300.
func threeDigits(v float64) string {
	if v == 0 {
		return "0"
	}
	rounded, _ := strconv.ParseFloat(strconv.FormatFloat(v, 'e', 2, 64), 64)
	places := max(0, 2-int(math.Floor(math.Log10(math.Abs(rounded)))))
	if places == 0 {
		return humanize.Comma(int64(rounded))
	}
	return strconv.FormatFloat(rounded, 'f', places, 64)
}

// ratio returns the ratio of two medians, or false if there is none.
func ratio(f, to *Figure) (float64, bool) {
	if f == nil || to == nil || to.median() == 0 {
		return 0, false
	}
	return f.median() / to.median(), true
}

func isOwn(system string) bool  { return strings.HasPrefix(system, Own) }
func isPeer(system string) bool { return system != Floor && !isOwn(system) }

// rank orders systems: the floor first, then our own, then the peers.
func rank(system string) int {
	switch {
	case system == Floor:
		return 0
	case isOwn(system):
		return 1
	}
	return 2
}

// figure finds a figure, or returns nil.
func (s *Scenario) figure(kase, system, metric string) *Figure {
	for i := range s.Figures {
		if f := &s.Figures[i]; f.Case == kase && f.System == system && f.Metric == metric {
			return f
		}
	}
	return nil
}

// bars returns the figures of one metric in one case, in the order of rank.
func (s *Scenario) bars(kase, metric string) []*Figure {
	var all []*Figure
	for i := range s.Figures {
		if f := &s.Figures[i]; f.Case == kase && f.Metric == metric {
			all = append(all, f)
		}
	}
	slices.SortStableFunc(all, func(a, b *Figure) int { return rank(a.System) - rank(b.System) })
	return all
}

// curves returns the curves of a case, in the order of rank. A metric other than "" has none.
func (s *Scenario) curves(kase, metric string) []*Curve {
	var all []*Curve
	for i := range s.Curves {
		if c := &s.Curves[i]; c.Case == kase && metric == "" {
			all = append(all, c)
		}
	}
	slices.SortStableFunc(all, func(a, b *Curve) int { return rank(a.System) - rank(b.System) })
	return all
}

// bestPeer returns the best figure of a peer in this case, or nil.
func (s *Scenario) bestPeer(kase, metric string) *Figure {
	var best *Figure
	for _, f := range s.bars(kase, metric) {
		if isPeer(f.System) && (best == nil || best.worse(f)) {
			best = f
		}
	}
	return best
}

// worse tells whether f's median is worse than that of another figure of the same metric.
func (f *Figure) worse(than *Figure) bool {
	if f.More {
		return f.median() < than.median()
	}
	return f.median() > than.median()
}

// distinct returns the different values of key among all, in the order of their first appearance.
func distinct[T any](all []T, key func(*T) string) []string {
	var keys []string
	for i := range all {
		if k := key(&all[i]); !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
	}
	return keys
}
