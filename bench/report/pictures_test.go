package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gonum.org/v1/plot/vg"
)

var pictures = flag.String("pictures", "", "draw the pictures of a full run into this folder")

func TestPicturesAreWellFormedAndAlwaysTheSame(t *testing.T) {
	r := sample(*pictures != "")
	want := []string{"overview", "tap_latency", "tap_p50", "throughput_cpu-per-100-000",
		"throughput_requests", "idle_rss-per-session", "bytes_bytes"}
	dir := *pictures
	if dir == "" { // only two scenarios, because the race detector makes drawing slow
		dir = t.TempDir()
		r.Scenarios = []Scenario{r.Scenarios[0], r.Scenarios[2]}
		want = []string{"overview", "tap_latency", "tap_p50", "idle_rss-per-session"}
	}
	paths, err := r.Pictures(dir)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := r.WriteJSON(&text); err != nil {
		t.Fatal(err)
	}
	again, err := ReadJSON(&text)
	if err != nil {
		t.Fatal(err)
	}
	other := t.TempDir()
	if _, err := again.Pictures(other); err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		name := filepath.Base(path)
		got := read(t, path)
		if !bytes.Equal(got, read(t, filepath.Join(other, name))) {
			t.Errorf("%s: the same run gave other bytes", name)
		}
		if strings.HasSuffix(name, ".png") {
			picture, err := png.Decode(bytes.NewReader(got))
			if err != nil {
				t.Errorf("%s: %v", name, err)
			} else if size := picture.Bounds().Size(); size.X < 800 || size.Y < 300 {
				t.Errorf("%s: got %v pixels, want a legible picture", name, size)
			}
			continue
		}
		if !bytes.Contains(got, []byte("font-weight:bold")) {
			t.Errorf("%s has nothing bold", name)
		}
		if words := svgText(t, name, got); !strings.Contains(words, "latchkey\n") {
			t.Errorf("%s does not name latchkey:\n%s", name, words)
		}
	}
	if len(paths) != 2*len(want) {
		t.Errorf("got %d files, want %d: %v", len(paths), 2*len(want), paths)
	}
	for i := 0; i < len(paths) && i < 2*len(want); i++ {
		if got := filepath.Base(paths[i]); got != want[i/2]+[]string{".svg", ".png"}[i%2] {
			t.Errorf("file %d: got %s, want %s as SVG and PNG", i, got, want[i/2])
		}
	}
}

func TestARunWithoutFiguresHasNoPictures(t *testing.T) {
	r := &Run{Scenarios: []Scenario{{Name: "tap", Title: "Tap"}}}
	if paths, err := r.Pictures(t.TempDir()); err != nil || len(paths) != 0 {
		t.Errorf("got %v, %v, want none", paths, err)
	}
}

func TestAPictureOfNothingButZerosIsDrawn(t *testing.T) {
	r := &Run{Scenarios: []Scenario{{
		Name: "tap", Title: "Tap", Figures: []Figure{{System: "latchkey", Metric: "failed", Main: true,
			Rounds: []float64{0}}},
		Curves: []Curve{{System: "latchkey", Points: [][2]float64{{0, 0}, {100, 0}}}},
	}}}
	if paths, err := r.Pictures(t.TempDir()); err != nil || len(paths) != 4 {
		t.Errorf("got %v, %v, want two pictures of each kind", paths, err)
	}
}

func TestTwoPicturesOfOneNameAreAnError(t *testing.T) {
	r := sample(false)
	r.Scenarios[0].Figures = append(r.Scenarios[0].Figures, Figure{System: "latchkey", Metric: "P50",
		Main: true, Rounds: []float64{1}})
	if _, err := r.Pictures(t.TempDir()); err == nil || !strings.Contains(err.Error(), "tap_p50") {
		t.Errorf("got %v, want an error that names tap_p50", err)
	}
}

func TestNamesAtTheEndsOfCurvesStayApart(t *testing.T) {
	at := []vg.Length{10, 10, 11, 50, 99, 100}
	apart(at, 10, 0, 100)
	for i, v := range at {
		if v < -0.1 || v > 100.1 || i > 0 && v-at[i-1] < 9.8 {
			t.Fatalf("got %v, want gaps of 10 between 0 and 100", at)
		}
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// svgText returns all texts of a picture, one in each line.
func svgText(t *testing.T, name string, svg []byte) string {
	t.Helper()
	var words strings.Builder
	d := xml.NewDecoder(bytes.NewReader(svg))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return words.String()
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return words.String()
		}
		if text, ok := token.(xml.CharData); ok {
			words.WriteString(strings.TrimSpace(string(text)) + "\n")
		}
	}
}
