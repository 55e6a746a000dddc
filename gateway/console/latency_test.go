package console

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"latchkey/gateway/admin"
)

func TestSpan(t *testing.T) {
	for ms, want := range map[float64]string{0: "0.00 ms", 0.213: "0.21 ms", 1.84: "1.8 ms", 61.7: "62 ms", 999: "999 ms", 1500: "1.5 s", 61_000: "61 s"} {
		if got := span(ms); got != want {
			t.Errorf("%v ms: got %s, want %s", ms, got, want)
		}
	}
}

func TestLatencyIsDrawn(t *testing.T) {
	some := admin.Distribution{Count: 3, Curve: []admin.Point{{Percentile: 0, MS: 0.4}, {Percentile: 50, MS: 0.8}, {Percentile: 90, MS: 3}, {Percentile: 100, MS: 9}}}
	for name, tt := range map[string]struct {
		of      admin.Latency
		strokes []string // colours that are there
		without []string
	}{
		"both":         {admin.Latency{Durable: some, Receipt: some}, []string{"#0F6E63", "#8A5300", "decision on disk", "door or lamp moved"}, nil},
		"no receipts":  {admin.Latency{Durable: some}, []string{"#0F6E63", "decision on disk"}, []string{"#8A5300", "door or lamp moved"}},
		"nothing":      {admin.Latency{}, []string{"latency, ms"}, []string{"#0F6E63", "#8A5300"}},
		"only maximum": {admin.Latency{Durable: admin.Distribution{Count: 1, Curve: []admin.Point{{Percentile: 100, MS: 1}}}}, []string{"percentile"}, []string{"#0F6E63"}},
	} {
		t.Run(name, func(t *testing.T) {
			var svg bytes.Buffer
			if err := drawLatency(&svg, tt.of, light); err != nil {
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
				t.Error("a number is none")
			}
		})
	}
}
