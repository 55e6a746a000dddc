package report

import (
	"math"
	"slices"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// curvePanel shows latencies by percentile: each step to the right is ten times rarer, as HDR histograms are plotted. The maximum has no place there.
func curvePanel(title string, curves []*Curve, looks map[string]draw.LineStyle) *plot.Plot {
	p := newPanel(title)
	p.X.Label.Text, p.Y.Label.Text = "percentile", "latency, µs"
	p.X.Tick.Marker = plot.TickerFunc(percentiles)
	p.Y.Scale = plot.LogScale{}
	p.Y.Tick.Marker = plot.TickerFunc(decades)
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = hair, hair
	p.Add(grid)
	ends := &endLabels{}
	curves = slices.Clone(curves)
	slices.SortStableFunc(curves, func(a, b *Curve) int { return above(a.System) - above(b.System) })
	for _, c := range curves {
		line := curveLine{style: looks[c.System]}
		for _, pt := range c.Points {
			if pt[0] < 100 && pt[1] > 0 {
				line.pts = append(line.pts, plotter.XY{X: rarity(pt[0]), Y: pt[1]})
			}
		}
		if len(line.pts) == 0 {
			continue
		}
		p.Add(line)
		ends.labels = append(ends.labels, endLabel{c.System, line.style, line.pts[len(line.pts)-1]})
	}
	p.Add(ends)
	p.X.Min = 0
	if len(ends.labels) == 0 { // a logarithm has no zero
		p.X.Max, p.Y.Min, p.Y.Max = 1, 1, 1
	}
	p.Y.Min, p.Y.Max = step(p.Y.Min, false), step(p.Y.Max, true)
	if p.Y.Min == p.Y.Max {
		p.Y.Max *= 10
	}
	return p
}

// above puts ours over the floor, and both over the peers.
func above(system string) int {
	switch {
	case isOwn(system):
		return 2
	case system == Floor:
		return 1
	}
	return 0
}

// rarity of what is beyond a percentile: 0 for all, 1 for one in ten, 2 for one in a hundred.
func rarity(percentile float64) float64 { return -math.Log10(1 - percentile/100) }

func percentiles(min, max float64) []plot.Tick {
	ticks := []plot.Tick{{Value: 0, Label: "0"}, {Value: rarity(50), Label: "50"}}
	for n := 1; float64(n) <= max+1e-9; n++ {
		percentile := math.Round((100-math.Pow10(2-n))*1e9) / 1e9
		ticks = append(ticks, plot.Tick{Value: float64(n), Label: plain(percentile)})
	}
	return ticks
}

// plain is a round number as an axis shows it.
func plain(v float64) string { return thousands(strconv.FormatFloat(v, 'f', -1, 64)) }

var steps = []float64{1, 2, 5, 10}

// step is the next of 1, 2, 5 times a power of ten, above or below.
func step(v float64, up bool) float64 {
	decade := math.Pow(10, math.Floor(math.Log10(v)))
	for i, s := range steps {
		if up && s*decade >= v {
			return s * decade
		}
		if !up && i > 0 && s*decade > v {
			return steps[i-1] * decade
		}
	}
	return v
}

// decades are the ticks of a logarithmic axis: powers of ten, and their doubles and halves where there is room.
func decades(min, max float64) []plot.Tick {
	var ticks []plot.Tick
	wide := math.Log10(max/min) > 3.5
	for decade := math.Pow(10, math.Floor(math.Log10(min))); decade <= max; decade *= 10 {
		for _, s := range steps[:3] {
			if v := s * decade; v >= min*0.999 && v <= max*1.001 && (s == 1 || !wide) {
				ticks = append(ticks, plot.Tick{Value: v, Label: plain(v)})
			}
		}
	}
	return ticks
}

type curveLine struct {
	style draw.LineStyle
	pts   plotter.XYs
}

func (l curveLine) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	pts := make([]vg.Point, len(l.pts))
	for i, pt := range l.pts {
		pts[i] = vg.Point{X: x(pt.X), Y: y(pt.Y)}
	}
	c.StrokeLines(l.style, pts)
}

func (l curveLine) DataRange() (xmin, xmax, ymin, ymax float64) { return plotter.XYRange(l.pts) }

// endLabels names each curve at its end, moved apart where curves end close together.
type endLabels struct{ labels []endLabel }

type endLabel struct {
	system string
	style  draw.LineStyle
	end    plotter.XY
}

const leader = vg.Length(14) // from the end of a curve to its name

// GlyphBoxes keeps room for the names at the right.
func (e *endLabels) GlyphBoxes(*plot.Plot) []plot.GlyphBox {
	var width vg.Length
	for _, l := range e.labels {
		width = max(width, named(l.system).Width(l.system))
	}
	return []plot.GlyphBox{{X: 1, Rectangle: vg.Rectangle{Max: vg.Point{X: leader + 2 + width}}}}
}

func (e *endLabels) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	labels := slices.Clone(e.labels)
	slices.SortStableFunc(labels, func(a, b endLabel) int {
		switch {
		case a.end.Y < b.end.Y:
			return -1
		case a.end.Y > b.end.Y:
			return 1
		}
		return 0
	})
	at := make([]vg.Length, len(labels))
	for i, l := range labels {
		at[i] = y(l.end.Y)
	}
	apart(at, 10.5, c.Min.Y, c.Max.Y)
	for i, l := range labels {
		line := l.style
		line.Width, line.Dashes = 1, nil
		c.StrokeLines(line, []vg.Point{{X: x(l.end.X), Y: y(l.end.Y)}, {X: c.Max.X + 3, Y: y(l.end.Y)}, {X: c.Max.X + leader, Y: at[i]}})
		style := named(l.system)
		style.YAlign = -0.4
		c.FillText(style, vg.Point{X: c.Max.X + leader + 2, Y: at[i]}, l.system)
	}
}

// apart moves ascending places so that any two have a gap between them, each as little as can be, and none beyond low or high if there is room.
func apart(at []vg.Length, gap, low, high vg.Length) {
	for range 200 {
		moved := false
		for i := 1; i < len(at); i++ {
			if d := gap - (at[i] - at[i-1]); d > 0.01 {
				at[i-1] -= d / 2
				at[i] += d / 2
				moved = true
			}
		}
		if n := len(at); n > 0 && vg.Length(n-1)*gap <= high-low {
			at[0], at[n-1] = max(at[0], low), min(at[n-1], high)
		}
		if !moved {
			return
		}
	}
}
