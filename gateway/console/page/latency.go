package page

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"latchkey/gateway/admin/api"
)

// LatencyPlot shows how long attempts took, by percentile. The template of that name draws it. Each
// step to the right is ten times rarer, as in plots of HDR histograms.
type LatencyPlot struct {
	Percentiles []plotTick // along the bottom
	Times       []plotTick // up the left side, in milliseconds
	Curves      []plotCurve
}

type plotTick struct {
	At    float64 // its X or Y
	Label string
}

type plotCurve struct {
	Name   string
	Class  string // its style, in console.css
	Points string // as <polyline> takes them
	Y      int    // of its line in the legend
}

// Measures of the plot, in its own units. The template has the same ones.
const (
	plotLeft   = 40
	plotRight  = 322
	plotTop    = 10
	plotBottom = 176
	plotLegend = 12 // from one line of the legend to the next
)

// NewLatencyPlot plots the curves that have data. Without any curve the times go from 1 to 10 ms.
func NewLatencyPlot(l api.Latency) LatencyPlot {
	distributions := []struct {
		name, class string
		points      []api.Point
	}{
		{"door or lamp moved", "receipt", plottable(l.Receipt.Curve)},
		{"decision on disk", "durable", plottable(l.Durable.Curve)},
	}

	// The axes hold all points: rarity from 0, times between rounded ends.
	rarest, shortest, longest := 1.0, math.Inf(1), 0.0
	for _, d := range distributions {
		for _, pt := range d.points {
			rarest = max(rarest, rarity(pt.Percentile))
			shortest, longest = min(shortest, pt.MS), max(longest, pt.MS)
		}
	}
	if longest == 0 {
		shortest, longest = 1, 1
	}
	low, high := roundDown(shortest), roundUp(longest)
	if low == high {
		high *= 10
	}
	x := func(percentile float64) float64 {
		return plotLeft + (plotRight-plotLeft)*rarity(percentile)/rarest
	}
	y := func(ms float64) float64 {
		return plotBottom - (plotBottom-plotTop)*math.Log(ms/low)/math.Log(high/low)
	}

	var p LatencyPlot
	for _, percentile := range percentileTicks(rarest) {
		p.Percentiles = append(p.Percentiles, plotTick{inTenths(x(percentile)), shortNumber(percentile)})
	}
	for _, ms := range timeTicks(low, high) {
		p.Times = append(p.Times, plotTick{inTenths(y(ms)), shortNumber(ms)})
	}
	for _, d := range distributions {
		if len(d.points) == 0 {
			continue
		}
		var points []string
		for _, pt := range d.points {
			points = append(points, fmt.Sprintf("%.1f,%.1f", x(pt.Percentile), y(pt.MS)))
		}
		p.Curves = append(p.Curves, plotCurve{Name: d.name, Class: d.class, Points: strings.Join(points, " "),
			Y: plotTop + plotLegend*len(p.Curves)})
	}
	return p
}

// plottable removes two kinds of points: the maximum, which has no place on an axis of rarity, and
// times of zero, which have no logarithm.
func plottable(curve []api.Point) (points []api.Point) {
	for _, pt := range curve {
		if pt.Percentile < 100 && pt.MS > 0 {
			points = append(points, pt)
		}
	}
	return points
}

// rarity returns how rare times beyond a percentile are: 0 for all, 1 for one in ten, 2 for one in
// a hundred.
func rarity(percentile float64) float64 { return -math.Log10(1 - percentile/100) }

// percentileTicks are 0, 50, 90, 99, 99.9 and so on, up to a rarity.
func percentileTicks(rarest float64) []float64 {
	ticks := []float64{0, 50}
	for n := 1; float64(n) <= rarest+1e-9; n++ {
		ticks = append(ticks, math.Round((100-math.Pow10(2-n))*1e9)/1e9)
	}
	return ticks
}

// timeTicks are the powers of ten from low to high. If there is room, twice and five times each are
// added.
func timeTicks(low, high float64) (ticks []float64) {
	const crowded = 3.5 // decades
	steps := []float64{1, 2, 5}
	if math.Log10(high/low) > crowded {
		steps = steps[:1]
	}
	for decade := decadeOf(low); decade <= high*1.001; decade *= 10 {
		for _, step := range steps {
			if v := step * decade; v >= low*0.999 && v <= high*1.001 {
				ticks = append(ticks, v)
			}
		}
	}
	return ticks
}

func decadeOf(v float64) float64 { return math.Pow(10, math.Floor(math.Log10(v))) }

// roundDown and roundUp go to the next of 1, 2 and 5 times a power of ten.
func roundDown(v float64) float64 {
	decade := decadeOf(v)
	for _, step := range []float64{5, 2} {
		if step*decade <= v {
			return step * decade
		}
	}
	return decade
}

func roundUp(v float64) float64 {
	decade := decadeOf(v)
	for _, step := range []float64{1, 2, 5} {
		if step*decade >= v {
			return step * decade
		}
	}
	return 10 * decade
}

func inTenths(v float64) float64 { return math.Round(v*10) / 10 }

// shortNumber writes at most nine digits, since products of decades are not exact.
func shortNumber(v float64) string { return strconv.FormatFloat(math.Round(v*1e9)/1e9, 'f', -1, 64) }

// span writes a time in milliseconds for people, with two digits.
func span(ms float64) string {
	d := time.Duration(ms * float64(time.Millisecond))
	switch {
	case d >= 10*time.Second:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d >= time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case ms >= 10:
		return fmt.Sprintf("%.0f ms", ms)
	case ms >= 1:
		return fmt.Sprintf("%.1f ms", ms)
	}
	return fmt.Sprintf("%.2f ms", ms)
}
