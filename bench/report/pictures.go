package report

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

// Pictures draws the run into dir, each picture as SVG and PNG, and returns the paths. There is the
// overview, and for each scenario its curves and a bar for each figure of a main metric, with a
// panel per case. The same run always gives the same bytes.
func (r *Run) Pictures(dir string) ([]string, error) {
	var paths []string
	pictures := r.pictures()
	seen := map[string]bool{}
	for _, p := range pictures {
		if seen[p.name] {
			return nil, fmt.Errorf("report: two pictures would be %s", p.name)
		}
		seen[p.name] = true
	}
	for _, p := range pictures {
		for _, kind := range []string{".svg", ".png"} {
			var file bytes.Buffer
			if err := p.write(&file, kind); err != nil {
				return paths, fmt.Errorf("report: picture %s: %w", p.name, err)
			}
			path := filepath.Join(dir, p.name+kind)
			if err := os.WriteFile(path, file.Bytes(), 0o644); err != nil {
				return paths, fmt.Errorf("report: %w", err)
			}
			paths = append(paths, path)
		}
	}
	return paths, nil
}

// picture is some panels under one title.
type picture struct {
	name, title, about string
	panels             []*plot.Plot
	columns            int
	width, height      vg.Length // of a panel
}

func (r *Run) pictures() []picture {
	looks := r.looks()
	overview := picture{name: "overview", title: "latchkey beside what people would use instead",
		about: r.about(), columns: 2, width: 380}
	all := []picture{overview}
	rows := 0
	for i := range r.Scenarios {
		s := &r.Scenarios[i]
		if p := s.Panel; p != nil {
			if curves := s.curves(p.Case, p.Metric); len(curves) > 0 {
				overview.panels = append(overview.panels, curvePanel(p.Title, curves, looks))
				rows = max(rows, 9)
			} else if figures := s.bars(p.Case, p.Metric); len(figures) > 0 {
				overview.panels = append(overview.panels, barPanel(p.Title, figures, looks))
				rows = max(rows, len(figures))
			}
		}
		if len(s.Curves) > 0 {
			all = append(all, s.curvePicture(looks, r.about()))
		}
		for _, metric := range distinct(s.Figures, func(f *Figure) string { return f.Metric }) {
			if p := s.barPicture(metric, looks, r.about()); len(p.panels) > 0 {
				all = append(all, p)
			}
		}
	}
	overview.height = barHeight(rows)
	if all[0] = overview; len(overview.panels) == 0 {
		return all[1:]
	}
	return all
}

func barHeight(rows int) vg.Length { return 70 + 19*vg.Length(rows) }

// about returns one line that says where and what was measured.
func (r *Run) about() string {
	commit, changes, changed := strings.Cut(r.Commit, "+")
	commit = commit[:min(len(commit), 12)]
	if changed {
		commit += "+" + changes
	}
	parts := []string{r.Began.UTC().Format("2006-01-02")}
	if r.Machine.CPU != "" {
		parts = append(parts, r.Machine.CPU)
	}
	return strings.Join(append(parts, "loopback", r.Form+" form", "commit "+commit), " · ")
}

func (s *Scenario) curvePicture(looks map[string]draw.LineStyle, about string) picture {
	p := picture{name: s.Name + "_latency", title: s.Title,
		about: "Latency by percentile, all rounds together · " + about, width: 420, height: 270}
	for _, kase := range distinct(s.Curves, func(c *Curve) string { return c.Case }) {
		p.panels = append(p.panels, curvePanel(kase, s.curves(kase, ""), looks))
	}
	p.grid()
	low, high, far := p.panels[0].Y.Min, p.panels[0].Y.Max, p.panels[0].X.Max
	for _, one := range p.panels {
		low, high, far = min(low, one.Y.Min), max(high, one.Y.Max), max(far, one.X.Max)
	}
	for _, one := range p.panels { // so that panels can be compared
		one.Y.Min, one.Y.Max, one.X.Max = low, high, far
	}
	return p
}

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

func (s *Scenario) barPicture(metric string, looks map[string]draw.LineStyle, about string) picture {
	name := s.Name + "_" + strings.Trim(notInNames.ReplaceAllString(strings.ToLower(metric), "-"), "-")
	p := picture{name: name, title: s.Title, about: "Medians of the rounds, least to most · " + about,
		width: 400}
	rows := 0
	for _, kase := range distinct(s.Figures, func(f *Figure) string { return f.Case }) {
		if figures := s.bars(kase, metric); len(figures) > 0 && figures[0].Main {
			p.panels = append(p.panels, barPanel(kase, figures, looks))
			rows = max(rows, len(figures))
		}
	}
	if len(p.panels) > 1 {
		p.about = "Medians of the rounds, least to most; each with a scale of its own · " + about
	}
	p.height = barHeight(rows)
	p.grid()
	return p
}

// grid chooses the number of columns.
func (p *picture) grid() {
	switch n := len(p.panels); {
	case n <= 1:
		p.columns = 1
	case n == 3 || n > 8:
		p.columns, p.width = 3, min(p.width, 300)
	default:
		p.columns = 2
	}
}

const (
	margin = vg.Length(12)
	head   = vg.Length(44) // the title and the line under it
)

func (p *picture) size() (w, h vg.Length, rows int) {
	rows = (len(p.panels) + p.columns - 1) / p.columns
	w = 2*margin + vg.Length(p.columns)*p.width + vg.Length(p.columns-1)*2*margin
	return w, head + 2*margin + vg.Length(rows)*p.height + vg.Length(rows-1)*margin, rows
}

func (p *picture) draw(c draw.Canvas) {
	c.SetColor(plot.New().BackgroundColor)
	c.Fill(c.Rectangle.Path())
	c = draw.Crop(c, margin, -margin, margin, -margin)
	fitted(c, bold(letters(14, ink)), 0, p.title)
	fitted(c, letters(8.5, faint), 20, p.about)
	_, _, rows := p.size()
	tiles := draw.Tiles{Cols: p.columns, Rows: rows, PadX: 2 * margin, PadY: margin}
	panels := make([][]*plot.Plot, rows)
	for i := range panels {
		panels[i] = make([]*plot.Plot, p.columns)
		copy(panels[i], p.panels[i*p.columns:min(len(p.panels), (i+1)*p.columns)])
	}
	for i, row := range plot.Align(panels, tiles, draw.Crop(c, 0, 0, 0, -head)) {
		for j, canvas := range row {
			if panels[i][j] != nil {
				panels[i][j].Draw(canvas)
			}
		}
	}
}

// fitted writes a line at the given distance below the top, in smaller letters if it is too long.
func fitted(c draw.Canvas, s text.Style, below vg.Length, line string) {
	s.YAlign = text.YTop
	if w := s.Width(line); w > c.Size().X {
		s.Font.Size *= c.Size().X / w * 0.99
	}
	c.FillText(s, vg.Point{X: c.Min.X, Y: c.Max.Y - below}, line)
}

func (p *picture) write(to io.Writer, kind string) error {
	w, h, _ := p.size()
	if kind == ".png" {
		c := vgimg.NewWith(vgimg.UseWH(w, h), vgimg.UseDPI(144))
		p.draw(draw.New(c))
		_, err := vgimg.PngCanvas{Canvas: c}.WriteTo(to)
		return err
	}
	return writeSVG(to, w, h, p.draw)
}
