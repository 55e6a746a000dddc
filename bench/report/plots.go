package report

import (
	"bytes"
	"image/color"
	"io"
	"math"

	"github.com/dustin/go-humanize"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// letters returns a style of text. There is only one typeface.
func letters(size vg.Length, c color.Color) text.Style {
	return text.Style{
		Color:   c,
		Font:    font.Font{Typeface: "Liberation", Variant: "Sans", Size: size},
		Handler: plot.DefaultTextHandler,
	}
}

// bold returns the same style in bold.
func bold(s text.Style) text.Style {
	s.Font.Weight = 3 // as golang.org/x/image/font counts, where 0 is regular
	return s
}

// emptyPanel returns a plot without data whose axes have our style.
func emptyPanel(title string) *plot.Plot {
	p := plot.New()
	p.BackgroundColor = nil
	p.Title.Text = title
	p.Title.TextStyle = bold(letters(10, ink))
	p.Title.TextStyle.XAlign, p.Title.TextStyle.YAlign = text.XCenter, text.YTop
	p.Title.Padding = 6
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		rotation, x, y := a.Label.TextStyle.Rotation, a.Tick.Label.XAlign, a.Tick.Label.YAlign
		at := a.Label.TextStyle
		a.Label.TextStyle = letters(9, ink)
		a.Label.TextStyle.Rotation = rotation
		a.Label.TextStyle.XAlign, a.Label.TextStyle.YAlign = at.XAlign, at.YAlign
		a.Label.Padding = 4
		a.Tick.Label = letters(8, faint)
		a.Tick.Label.XAlign, a.Tick.Label.YAlign = x, y
		a.LineStyle = draw.LineStyle{Color: faint, Width: 0.5}
		a.Tick.LineStyle = a.LineStyle
		a.Tick.Length = 3
		a.Padding = 0
	}
	return p
}

// emptyCurves returns a panel for curves of latencies by percentile, with a grid. Each step to the
// right is ten times rarer, as HDR histograms are plotted. Call [fitAxes] when the curves are in
// it.
func emptyCurves(title string) *plot.Plot {
	p := emptyPanel(title)
	p.X.Label.Text, p.Y.Label.Text = "percentile", "latency, µs"
	p.X.Tick.Marker = plot.TickerFunc(percentileTicks)
	p.Y.Scale = plot.LogScale{}
	p.Y.Tick.Marker = plot.TickerFunc(latencyTicks)
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = hair, hair
	p.Add(grid)
	return p
}

// fitAxes rounds the ends of the axes. Without any curve the latencies go from one to ten.
func fitAxes(p *plot.Plot, empty bool) {
	p.X.Min = 0
	if empty { // zero has no logarithm
		p.X.Max, p.Y.Min, p.Y.Max = 1, 1, 1
	}
	p.Y.Min, p.Y.Max = roundStep(p.Y.Min, false), roundStep(p.Y.Max, true)
	if p.Y.Min == p.Y.Max {
		p.Y.Max *= 10
	}
}

// line is one curve. Its points are at the [rarity] of their percentiles.
type line struct {
	style  draw.LineStyle
	points plotter.XYs
}

// add adds the point of a percentile. Such a plot cannot show the maximum, nor a time of zero,
// which has no logarithm.
func (l *line) add(percentile, latency float64) {
	if percentile < 100 && latency > 0 {
		l.points = append(l.points, plotter.XY{X: rarity(percentile), Y: latency})
	}
}

// Plot draws the line; see [plot.Plotter].
func (l line) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	pts := make([]vg.Point, len(l.points))
	for i, pt := range l.points {
		pts[i] = vg.Point{X: x(pt.X), Y: y(pt.Y)}
	}
	c.StrokeLines(l.style, pts)
}

// DataRange returns the range that the axes must cover; see [plot.DataRanger].
func (l line) DataRange() (xmin, xmax, ymin, ymax float64) { return plotter.XYRange(l.points) }

// rarity returns how rare the operations beyond a percentile are: 0 for all, 1 for one in ten, 2
// for one in a hundred.
func rarity(percentile float64) float64 { return -math.Log10(1 - percentile/100) }

func percentileTicks(_, max float64) []plot.Tick {
	ticks := []plot.Tick{{Value: 0, Label: "0"}, {Value: rarity(50), Label: "50"}}
	for n := 1; float64(n) <= max+1e-9; n++ {
		percentile := math.Round((100-math.Pow10(2-n))*1e9) / 1e9
		ticks = append(ticks, plot.Tick{Value: float64(n), Label: humanize.Commaf(percentile)})
	}
	return ticks
}

var roundSteps = []float64{1, 2, 5, 10}

// roundStep returns the next of 1, 2, 5 times a power of ten, above or below v.
func roundStep(v float64, up bool) float64 {
	decade := math.Pow(10, math.Floor(math.Log10(v)))
	for i, s := range roundSteps {
		if up && s*decade >= v {
			return s * decade
		}
		if !up && i > 0 && s*decade > v {
			return roundSteps[i-1] * decade
		}
	}
	return v
}

// latencyTicks returns the ticks of a logarithmic axis: powers of ten, and their doubles and halves
// if there is room.
func latencyTicks(min, max float64) []plot.Tick {
	var ticks []plot.Tick
	wide := math.Log10(max/min) > 3.5
	for decade := math.Pow(10, math.Floor(math.Log10(min))); decade <= max; decade *= 10 {
		for _, s := range roundSteps[:3] {
			if v := s * decade; v >= min*0.999 && v <= max*1.001 && (s == 1 || !wide) {
				ticks = append(ticks, plot.Tick{Value: v, Label: humanize.Commaf(v)})
			}
		}
	}
	return ticks
}

// writeSVG writes as SVG what paint draws on a canvas of that size, for viewers with and without
// the typeface.
func writeSVG(to io.Writer, width, height vg.Length, paint func(draw.Canvas)) error {
	c := vgsvg.New(width, height)
	paint(draw.New(c))
	var svg bytes.Buffer
	if _, err := c.WriteTo(&svg); err != nil {
		return err
	}
	// Liberation Sans is as wide as Arial, so the layout also fits if only Arial is installed.
	out := bytes.ReplaceAll(svg.Bytes(), []byte("font-family:Liberation Sans;"),
		[]byte("font-family:Liberation Sans,Arial,Helvetica,sans-serif;"))
	_, err := to.Write(out)
	return err
}
