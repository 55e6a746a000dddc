package report

import (
	"image/color"

	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// The colours are those of Okabe and Ito or near to them, so that the colour-blind can tell them
// apart too. Two systems of one family have one hue, and the second one is dashed.
var (
	ink     = color.NRGBA{0x22, 0x22, 0x22, 0xff}
	faint   = color.NRGBA{0x66, 0x66, 0x66, 0xff}
	hair    = color.NRGBA{0xe2, 0xe2, 0xe2, 0xff}
	ours    = color.NRGBA{0xd5, 0x5e, 0x00, 0xff}
	nothing = color.NRGBA{0x9a, 0x9a, 0x9a, 0xff} // the floor

	dashed = []vg.Length{5, 2.5}
	dotted = []vg.Length{1.5, 2}
)

var known = map[string]draw.LineStyle{
	Floor:             {Color: nothing, Width: 1.5},
	"libcoap-gnutls":  {Color: color.NRGBA{0x00, 0x72, 0xb2, 0xff}, Width: 1.5},
	"libcoap-openssl": {Color: color.NRGBA{0x56, 0xb4, 0xe9, 0xff}, Width: 1.5, Dashes: dashed},
	"go-coap":         {Color: color.NRGBA{0x00, 0x9e, 0x73, 0xff}, Width: 1.5},
	"go-coap-dtls2":   {Color: color.NRGBA{0x6b, 0xc4, 0xa9, 0xff}, Width: 1.5, Dashes: dashed},
	"mqtt":            {Color: color.NRGBA{0xcc, 0x79, 0xa7, 0xff}, Width: 1.5},
	"https":           {Color: color.NRGBA{0x44, 0x33, 0x77, 0xff}, Width: 1.5},
}

// looks returns the line style of each system of the run, the same in every picture. Our own
// systems differ only in their dashes; unknown peers are black.
func (r *Run) looks() map[string]draw.LineStyle {
	all := map[string]draw.LineStyle{}
	own, other := 0, 0
	variants := [][]vg.Length{nil, dashed, dotted, {8, 2, 1.5, 2}}
	give := func(system string) {
		if _, ok := all[system]; ok {
			return
		}
		style, ok := known[system]
		switch {
		case ok:
		case isOwn(system):
			style = draw.LineStyle{Color: ours, Width: 2.5, Dashes: variants[own%len(variants)]}
			own++
		default:
			style = draw.LineStyle{Color: ink, Width: 1.5, Dashes: variants[other%len(variants)]}
			other++
		}
		all[system] = style
	}
	for _, s := range r.Scenarios {
		for _, f := range s.Figures {
			give(f.System)
		}
		for _, c := range s.Curves {
			give(c.System)
		}
	}
	return all
}

// named returns the style of a system's name. A peer's name is not in its colour, because some of
// the colours are too pale for letters.
func named(system string) text.Style {
	if isOwn(system) {
		return bold(letters(8.5, ours))
	}
	return letters(8.5, ink)
}
