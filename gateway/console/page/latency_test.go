package page

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"latchkey/gateway/admin/api"
)

func TestSpan(t *testing.T) {
	for ms, want := range map[float64]string{0: "0.00 ms", 0.213: "0.21 ms", 1.84: "1.8 ms", 61.7: "62 ms",
		999: "999 ms", 1500: "1.5 s", 61_000: "61 s"} {
		if got := span(ms); got != want {
			t.Errorf("%v ms: got %s, want %s", ms, got, want)
		}
	}
}

func TestLatencyIsDrawn(t *testing.T) {
	pages, err := Parse()
	if err != nil {
		t.Fatal(err)
	}
	some := api.Distribution{Count: 3, Curve: []api.Point{{Percentile: 0, MS: 0.4},
		{Percentile: 50, MS: 0.8}, {Percentile: 90, MS: 3}, {Percentile: 100, MS: 9}}}
	for name, tt := range map[string]struct {
		of      api.Latency
		strokes []string // the curves and words that the picture must have
		without []string
	}{
		"both": {api.Latency{Durable: some, Receipt: some},
			[]string{`class="durable"`, `class="receipt"`, "decision on disk", "door or lamp moved"}, nil},
		"no receipts": {api.Latency{Durable: some}, []string{`class="durable"`, "decision on disk"},
			[]string{`class="receipt"`, "door or lamp moved"}},
		"nothing": {api.Latency{}, []string{"latency, ms"},
			[]string{`class="durable"`, `class="receipt"`}},
		"only maximum": {api.Latency{Durable: api.Distribution{Count: 1,
			Curve: []api.Point{{Percentile: 100, MS: 1}}}}, []string{"percentile"},
			[]string{`class="durable"`}},
	} {
		t.Run(name, func(t *testing.T) {
			svg, err := pages.execute("health", "latency", NewLatencyPlot(tt.of))
			if err != nil {
				t.Fatal(err)
			}
			for d := xml.NewDecoder(bytes.NewReader(svg.Bytes())); ; {
				if _, err := d.Token(); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					t.Fatal(err)
				}
			}
			for _, s := range tt.strokes {
				if !strings.Contains(svg.String(), s) {
					t.Errorf("got no %s in %s", s, svg.String())
				}
			}
			for _, s := range tt.without {
				if strings.Contains(svg.String(), s) {
					t.Errorf("got %s, want none", s)
				}
			}
			if strings.Contains(svg.String(), "NaN") || strings.Contains(svg.String(), "Inf") {
				t.Error("the picture has NaN or Inf as a number")
			}
		})
	}
}

func TestLatencyPlotIsLogarithmicOnBothAxes(t *testing.T) {
	curve := []api.Point{{Percentile: 0, MS: 1}, {Percentile: 90, MS: 10}, {Percentile: 99, MS: 100}}
	p := NewLatencyPlot(api.Latency{Durable: api.Distribution{Count: 100, Curve: curve}})
	if want := "40.0,176.0 181.0,93.0 322.0,10.0"; len(p.Curves) != 1 || p.Curves[0].Points != want {
		t.Errorf("got %+v, want one curve through %s", p.Curves, want)
	}
	var got []string
	for _, tick := range slices.Concat(p.Percentiles, p.Times) {
		got = append(got, fmt.Sprintf("%s at %v", tick.Label, tick.At))
	}
	want := []string{"0 at 40", "50 at 82.4", "90 at 181", "99 at 322", "1 at 176", "2 at 151", "5 at 118",
		"10 at 93", "20 at 68", "50 at 35", "100 at 10"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLatencyAxesEndAtRoundTimes(t *testing.T) {
	for v, want := range map[float64][2]float64{1: {1, 1}, 1.5: {1, 2}, 3: {2, 5}, 7: {5, 10},
		0.04: {0.02, 0.05}, 60_000: {50_000, 100_000}} {
		if down, up := roundDown(v), roundUp(v); shortNumber(down) != shortNumber(want[0]) ||
			shortNumber(up) != shortNumber(want[1]) {
			t.Errorf("%v: got %v and %v, want %v", v, down, up, want)
		}
	}
}
