package report

import (
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// curvePanel shows latencies by percentile.
func curvePanel(title string, curves []*Curve, looks map[string]draw.LineStyle) *plot.Plot {
	p := emptyCurves(title)
	ends := &endLabels{}
	curves = slices.Clone(curves)
	slices.SortStableFunc(curves, func(a, b *Curve) int { return above(a.System) - above(b.System) })
	for _, c := range curves {
		l := line{style: looks[c.System]}
		for _, pt := range c.Points {
			l.add(pt[0], pt[1])
		}
		if len(l.points) == 0 {
			continue
		}
		p.Add(l)
		ends.labels = append(ends.labels, endLabel{c.System, l.style, l.points[len(l.points)-1]})
	}
	p.Add(ends)
	fitAxes(p, len(ends.labels) == 0)
	return p
}

// above orders curves for drawing: ours above the floor, and both above the peers.
func above(system string) int {
	switch {
	case isOwn(system):
		return 2
	case system == Floor:
		return 1
	}
	return 0
}

// endLabels names each curve at its end, moved apart where curves end close together.
type endLabels struct{ labels []endLabel }

type endLabel struct {
	system string
	style  draw.LineStyle
	end    plotter.XY
}

const leader = vg.Length(14) // from the end of a curve to its name

// GlyphBoxes reserves room for the names at the right.
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
		c.StrokeLines(line, []vg.Point{{X: x(l.end.X), Y: y(l.end.Y)}, {X: c.Max.X + 3, Y: y(l.end.Y)},
			{X: c.Max.X + leader, Y: at[i]}})
		style := named(l.system)
		style.YAlign = -0.4
		c.FillText(style, vg.Point{X: c.Max.X + leader + 2, Y: at[i]}, l.system)
	}
}

// apart moves ascending places as little as possible so that there is a gap between any two, and
// none is beyond low or high if there is room.
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
