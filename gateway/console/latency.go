package console

import (
	"bytes"
	"fmt"
	"image/color"
	"strconv"
	"time"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"latchkey/gateway/admin"
	"latchkey/gateway/percentile"
)

// The plot's size, in points. On a phone it is as wide as the page.
const (
	plotWidth  = 330
	plotHeight = 200
)

// shade is the plot's colours on a page in light or dark; as in console.css.
type shade struct {
	percentile.Inks
	durable, receipt color.Color
}

var (
	light = shade{percentile.Inks{Text: rgb(0x1a201e), Axis: rgb(0x55605c), Grid: rgb(0xd5dbd7)}, rgb(0x0f6e63), rgb(0x8a5300)}
	dark  = shade{percentile.Inks{Text: rgb(0xe6ebe8), Axis: rgb(0xa3afaa), Grid: rgb(0x313a37)}, rgb(0x5cc9b8), rgb(0xf2c46b)}
)

func rgb(v uint32) color.Color { return color.NRGBA{uint8(v >> 16), uint8(v >> 8), uint8(v), 0xff} }

// latencyPlot draws how long attempts took. In the address, dark says for which page it is.
func (v *visit) latencyPlot() error {
	var l admin.Latency
	if err := v.get("/v1/latency", &l); err != nil {
		return err
	}
	colours := light
	if v.r.URL.Query().Has("dark") {
		colours = dark
	}
	var svg bytes.Buffer
	if err := drawLatency(&svg, l, colours); err != nil {
		return fmt.Errorf("console: latency plot: %w", err)
	}
	v.w.Header().Set("Content-Type", "image/svg+xml")
	v.w.Header().Set("Content-Length", strconv.Itoa(svg.Len()))
	_, _ = v.w.Write(svg.Bytes()) // or nobody is there to see it
	return nil
}

func drawLatency(to *bytes.Buffer, l admin.Latency, colours shade) error {
	p := percentile.Curves("", "ms", colours.Inks)
	p.Legend.TextStyle = percentile.Letters(9, colours.Text)
	p.Legend.Top, p.Legend.Left = true, true
	p.Legend.Padding = 2
	empty := true
	for _, c := range []struct {
		name   string
		of     admin.Distribution
		colour color.Color
		dashes []vg.Length
	}{{"door or lamp moved", l.Receipt, colours.receipt, nil}, {"decision on disk", l.Durable, colours.durable, []vg.Length{5, 2.5}}} {
		line := percentile.Line{Style: draw.LineStyle{Color: c.colour, Width: 2, Dashes: c.dashes}}
		for _, pt := range c.of.Curve {
			line.Add(pt.Percentile, pt.MS)
		}
		if len(line.Points) == 0 {
			continue
		}
		empty = false
		p.Add(line)
		p.Legend.Add(c.name, swatch{line.Style})
	}
	percentile.Fit(p, empty)
	return percentile.WriteSVG(to, plotWidth, plotHeight, func(c draw.Canvas) { p.Draw(draw.Crop(c, 4, -8, 4, -4)) })
}

// swatch is a piece of a line, for the legend.
type swatch struct{ style draw.LineStyle }

// Thumbnail draws it; see [plot.Thumbnailer].
func (s swatch) Thumbnail(c *draw.Canvas) {
	y := c.Center().Y
	c.StrokeLine2(s.style, c.Min.X, y, c.Max.X, y)
}

// span is a time in milliseconds as people say it: two digits of it.
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
