// Package percentile plots latencies by percentile, each step to the right ten times rarer, as HDR histograms are plotted. It measures nothing and knows of
// no scenario.
package percentile

import (
	"bytes"
	"image/color"
	"io"
	"math"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Inks are the colours of what is not a curve: titles and labels, the axes and their numbers, the grid.
type Inks struct{ Text, Axis, Grid color.Color }

// Letters is text in the one typeface that there is.
func Letters(size vg.Length, c color.Color) text.Style {
	return text.Style{
		Color:   c,
		Font:    font.Font{Typeface: "Liberation", Variant: "Sans", Size: size},
		Handler: plot.DefaultTextHandler,
	}
}

// Bold is the same in bold.
func Bold(s text.Style) text.Style {
	s.Font.Weight = 3 // as golang.org/x/image/font counts, where 0 is regular
	return s
}

// Panel is a plot without data and without axes of its own.
func Panel(title string, inks Inks) *plot.Plot {
	p := plot.New()
	p.BackgroundColor = nil
	p.Title.Text = title
	p.Title.TextStyle = Bold(Letters(10, inks.Text))
	p.Title.TextStyle.XAlign, p.Title.TextStyle.YAlign = text.XCenter, text.YTop
	p.Title.Padding = 6
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		rotation, x, y := a.Label.TextStyle.Rotation, a.Tick.Label.XAlign, a.Tick.Label.YAlign
		at := a.Label.TextStyle
		a.Label.TextStyle = Letters(9, inks.Text)
		a.Label.TextStyle.Rotation, a.Label.TextStyle.XAlign, a.Label.TextStyle.YAlign = rotation, at.XAlign, at.YAlign
		a.Label.Padding = 4
		a.Tick.Label = Letters(8, inks.Axis)
		a.Tick.Label.XAlign, a.Tick.Label.YAlign = x, y
		a.LineStyle = draw.LineStyle{Color: inks.Axis, Width: 0.5}
		a.Tick.LineStyle = a.LineStyle
		a.Tick.Length = 3
		a.Padding = 0
	}
	return p
}

// Curves is a panel for curves of latencies in the given unit, with a grid. [Fit] comes when they are in it.
func Curves(title, unit string, inks Inks) *plot.Plot {
	p := Panel(title, inks)
	p.X.Label.Text, p.Y.Label.Text = "percentile", "latency, "+unit
	p.X.Tick.Marker = plot.TickerFunc(percentiles)
	p.Y.Scale = plot.LogScale{}
	p.Y.Tick.Marker = plot.TickerFunc(decades)
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = inks.Grid, inks.Grid
	p.Add(grid)
	return p
}

// Fit rounds the ends of the axes. Without any curve they are from one to ten.
func Fit(p *plot.Plot, empty bool) {
	p.X.Min = 0
	if empty { // a logarithm has no zero
		p.X.Max, p.Y.Min, p.Y.Max = 1, 1, 1
	}
	p.Y.Min, p.Y.Max = step(p.Y.Min, false), step(p.Y.Max, true)
	if p.Y.Min == p.Y.Max {
		p.Y.Max *= 10
	}
}

// Line is a curve. Its points are at [Rarity] of their percentiles.
type Line struct {
	Style  draw.LineStyle
	Points plotter.XYs
}

// Add adds the point of a percentile. The maximum has no place in such a plot, nor has a time that a logarithm does not know.
func (l *Line) Add(percentile, latency float64) {
	if percentile < 100 && latency > 0 {
		l.Points = append(l.Points, plotter.XY{X: Rarity(percentile), Y: latency})
	}
}

// Plot draws the line; see [plot.Plotter].
func (l Line) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	pts := make([]vg.Point, len(l.Points))
	for i, pt := range l.Points {
		pts[i] = vg.Point{X: x(pt.X), Y: y(pt.Y)}
	}
	c.StrokeLines(l.Style, pts)
}

// DataRange is what the axes have to hold; see [plot.DataRanger].
func (l Line) DataRange() (xmin, xmax, ymin, ymax float64) { return plotter.XYRange(l.Points) }

// Rarity of what is beyond a percentile: 0 for all, 1 for one in ten, 2 for one in a hundred.
func Rarity(percentile float64) float64 { return -math.Log10(1 - percentile/100) }

func percentiles(_, max float64) []plot.Tick {
	ticks := []plot.Tick{{Value: 0, Label: "0"}, {Value: Rarity(50), Label: "50"}}
	for n := 1; float64(n) <= max+1e-9; n++ {
		percentile := math.Round((100-math.Pow10(2-n))*1e9) / 1e9
		ticks = append(ticks, plot.Tick{Value: float64(n), Label: Plain(percentile)})
	}
	return ticks
}

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
				ticks = append(ticks, plot.Tick{Value: v, Label: Plain(v)})
			}
		}
	}
	return ticks
}

// Plain is a round number as an axis shows it.
func Plain(v float64) string { return Thousands(strconv.FormatFloat(v, 'f', -1, 64)) }

// Thousands sets a number in decimals apart by commas.
func Thousands(s string) string {
	whole, fraction, _ := strings.Cut(s, ".")
	for i := len(whole) - 3; i > 0 && whole[i-1] != '-'; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if fraction == "" {
		return whole
	}
	return whole + "." + fraction
}

// WriteSVG writes what is drawn on a canvas of that size, for readers with and without the typeface.
func WriteSVG(to io.Writer, width, height vg.Length, paint func(draw.Canvas)) error {
	c := vgsvg.New(width, height)
	paint(draw.New(c))
	var svg bytes.Buffer
	if _, err := c.WriteTo(&svg); err != nil {
		return err
	}
	// Liberation Sans is as wide as Arial, so what is laid out for it fits where only that is there.
	out := bytes.ReplaceAll(svg.Bytes(), []byte("font-family:Liberation Sans;"), []byte("font-family:Liberation Sans,Arial,Helvetica,sans-serif;"))
	_, err := to.Write(out)
	return err
}
