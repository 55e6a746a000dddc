package report

import (
	"math"

	"github.com/dustin/go-humanize"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// barPanel shows one metric of the systems, one below the other: a bar to the median, a whisker
// from the least to the most, and the number.
func barPanel(title string, figures []*Figure, looks map[string]draw.LineStyle) *plot.Plot {
	p := emptyPanel(title)
	p.HideY()
	p.X.Label.Text = figures[0].heading()
	if figures[0].More {
		p.X.Label.Text += " (more is better)"
	}
	p.X.Tick.Marker = plot.TickerFunc(func(min, max float64) []plot.Tick {
		ticks := plot.DefaultTicks{}.Ticks(min, max)
		for i := range ticks {
			if ticks[i].Label != "" {
				ticks[i].Label = humanize.Commaf(math.Round(ticks[i].Value*1e9) / 1e9)
			}
		}
		return ticks
	})
	grid := plotter.NewGrid()
	grid.Horizontal.Width, grid.Vertical.Color = 0, hair
	p.Add(grid, &bars{figures, looks})
	p.X.Min = min(0, p.X.Min)
	return p
}

type bars struct {
	figures []*Figure
	looks   map[string]draw.LineStyle
}

func (b *bars) DataRange() (xmin, xmax, ymin, ymax float64) {
	for _, f := range b.figures {
		xmin, xmax = min(xmin, f.least()), max(xmax, f.most())
	}
	if xmin == xmax {
		xmax = 1
	}
	return xmin, xmax, 0, float64(len(b.figures))
}

func (b *bars) nameStyle(f *Figure) text.Style {
	s := named(f.System)
	s.XAlign, s.YAlign = text.XRight, -0.4
	return s
}

func (b *bars) valueStyle(f *Figure) text.Style {
	s := named(f.System)
	s.Color, s.YAlign = ink, -0.4
	return s
}

const beside = vg.Length(5) // between a bar and the text at its ends

// GlyphBoxes reserves room for the names at the left and the numbers at the right.
func (b *bars) GlyphBoxes(p *plot.Plot) []plot.GlyphBox {
	// As much as curves reserve, so that the titles are level.
	boxes := []plot.GlyphBox{{Y: 1, Rectangle: vg.Rectangle{Max: vg.Point{Y: 4}}}}
	for _, f := range b.figures {
		name := b.nameStyle(f).Width(f.System)
		value := b.valueStyle(f).Width(f.number(f.median()))
		boxes = append(boxes,
			plot.GlyphBox{X: 0, Rectangle: vg.Rectangle{Min: vg.Point{X: -name - beside}}},
			plot.GlyphBox{X: p.X.Norm(f.most()), Rectangle: vg.Rectangle{Max: vg.Point{X: beside + value}}})
	}
	return boxes
}

func (b *bars) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	for i, f := range b.figures {
		row := float64(len(b.figures)-i) - 0.5
		low, high, mid := y(row-0.32), y(row+0.32), y(row)
		from, to := x(0), x(f.median())
		c.FillPolygon(b.looks[f.System].Color,
			[]vg.Point{{X: from, Y: low}, {X: to, Y: low}, {X: to, Y: high}, {X: from, Y: high}})
		least, most := x(f.least()), x(f.most())
		if most-least > 0.5 {
			half := (high - low) / 5
			c.StrokeLines(draw.LineStyle{Color: ink, Width: 0.8},
				[]vg.Point{{X: least, Y: mid}, {X: most, Y: mid}},
				[]vg.Point{{X: least, Y: mid - half}, {X: least, Y: mid + half}},
				[]vg.Point{{X: most, Y: mid - half}, {X: most, Y: mid + half}})
		}
		c.FillText(b.nameStyle(f), vg.Point{X: x(p.X.Min) - beside, Y: mid}, f.System)
		c.FillText(b.valueStyle(f), vg.Point{X: max(most, to) + beside, Y: mid}, f.number(f.median()))
	}
	c.StrokeLine2(draw.LineStyle{Color: faint, Width: 0.5}, x(0), c.Min.Y, x(0), c.Max.Y)
}
