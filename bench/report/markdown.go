package report

import (
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Markdown writes the run for people. pictures are paths as the text is to have them. Each .svg
// among them is shown with the scenario that it is named after.
func (r *Run) Markdown(w io.Writer, pictures ...string) error {
	m := &markdown{pictures: pictures}
	m.head(r)
	for i := range r.Scenarios {
		m.scenario(&r.Scenarios[i], r)
	}
	m.worse(r)
	m.line("## Not measured\n")
	for _, what := range r.NotMeasured {
		m.line("- %s", oneLine(what))
	}
	if len(r.NotMeasured) == 0 {
		m.line("Nothing was named.")
	}
	if _, err := io.WriteString(w, m.String()); err != nil {
		return fmt.Errorf("report: write Markdown: %w", err)
	}
	return nil
}

type markdown struct {
	strings.Builder
	pictures []string
}

func (m *markdown) line(format string, a ...any) { fmt.Fprintf(m, format+"\n", a...) }

func (m *markdown) row(cells ...string) {
	for i, c := range cells {
		cells[i] = strings.ReplaceAll(oneLine(c), "|", `\|`)
	}
	m.line("| %s |", strings.Join(cells, " | "))
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func (m *markdown) head(r *Run) {
	m.line("# Benchmarks of %s, %s form\n", r.Began.UTC().Format("2006-01-02"), r.Form)
	m.row("", "")
	m.line("|---|---|")
	fact := func(name, value string) {
		if value != "" {
			m.row(name, value)
		}
	}
	const clock = "2006-01-02 15:04"
	fact("commit", r.Commit)
	fact("from, to (UTC)", r.Began.UTC().Format(clock)+", "+r.Ended.UTC().Format(clock))
	fact("CPU", r.Machine.CPU)
	fact("CPUs", fmt.Sprintf("%d; servers on %s, load from %s", r.Machine.CPUs, cpuList(r.Machine.Server),
		cpuList(r.Machine.Load)))
	fact("governor", r.Machine.Governor)
	if r.Machine.Memory > 0 {
		fact("memory", fmt.Sprintf("%.1f GiB", float64(r.Machine.Memory)/(1<<30)))
	}
	fact("kernel", r.Machine.Kernel)
	fact("system", strings.TrimSpace(r.Machine.System+" "+r.Machine.Arch))
	fact("disk of the stores", r.Machine.Disk)
	var versions []string
	for _, name := range slices.Sorted(maps.Keys(r.Versions)) {
		versions = append(versions, name+" "+r.Versions[name])
	}
	fact("versions", strings.Join(versions, " · "))
	m.line("\nA cell is the median of the rounds (least–most), or one number where three digits show no " +
		"difference; – is what was not measured.")
	m.line("Ratios are of medians: to the floor, and to the best peer in the same case. Less is better " +
		"where the heading does not say otherwise.\n")
	m.show("overview", "Overview")
}

// show links the pictures that are named after a scenario.
func (m *markdown) show(name, title string) {
	for _, p := range m.pictures {
		base, svg := strings.CutSuffix(path.Base(p), ".svg")
		if svg && (base == name || strings.HasPrefix(base, name+"_")) {
			m.line("![%s](%s)\n", oneLine(title), p)
		}
	}
}

func cpuList(cpus []int) string {
	if len(cpus) == 0 {
		return "any"
	}
	var s []string
	for _, c := range cpus {
		s = append(s, strconv.Itoa(c))
	}
	return strings.Join(s, ", ")
}

// table is a number of consecutive cases that have the same metrics.
type table struct{ cases, metrics []string }

func (s *Scenario) tables() []table {
	var all []table
	for _, kase := range distinct(s.Figures, func(f *Figure) string { return f.Case }) {
		metrics := distinct(s.Figures, func(f *Figure) string {
			if f.Case != kase {
				return ""
			}
			return f.Metric
		})
		metrics = slices.DeleteFunc(metrics, func(name string) bool { return name == "" })
		if n := len(all); n > 0 && slices.Equal(all[n-1].metrics, metrics) {
			all[n-1].cases = append(all[n-1].cases, kase)
		} else {
			all = append(all, table{[]string{kase}, metrics})
		}
	}
	return all
}

func (m *markdown) scenario(s *Scenario, r *Run) {
	m.line("## %s\n", oneLine(s.Title))
	if s.What != "" {
		m.line("%s\n", oneLine(s.What))
	}
	m.show(s.Name, s.Title)
	for _, t := range s.tables() {
		m.table(s, t)
	}
	if len(s.Figures)+len(s.Curves) == 0 {
		m.line("Not measured in this run.\n")
	}
}

// column is a metric, and whether it is compared with the floor and with the best peer.
type column struct {
	*Figure // any figure of the metric
	floor   bool
	peer    bool
}

func (m *markdown) table(s *Scenario, t table) {
	columns := t.columns(s)
	var heads []string
	if t.cases[0] != "" || len(t.cases) > 1 {
		heads = append(heads, "case")
	}
	heads = append(heads, "system")
	left := len(heads)
	for _, c := range columns {
		name := c.heading()
		if c.More {
			name += " (more is better)"
		}
		heads = append(heads, name)
		if c.floor {
			heads = append(heads, "× floor")
		}
		if c.peer {
			heads = append(heads, "× best peer")
		}
	}
	rule := strings.Repeat("|---", left) + strings.Repeat("|--:", len(heads)-left) + "|"
	m.row(heads...)
	m.line("%s", rule)
	for _, kase := range t.cases {
		for _, system := range s.systems(kase) {
			var cells []string
			if left == 2 {
				cells = append(cells, kase)
			}
			cells = append(cells, system)
			for _, c := range columns {
				cells = append(cells, c.cells(s, kase, system)...)
			}
			m.row(cells...)
		}
	}
	m.line("")
	m.notes(s, t)
}

// columns returns the columns of a table. A column of ratios is there only if one of the cases has
// something to compare with.
func (t table) columns(s *Scenario) (all []column) {
	for _, metric := range t.metrics {
		var c column
		for _, kase := range t.cases {
			bars := s.bars(kase, metric)
			if len(bars) == 0 {
				continue
			}
			c.Figure = bars[0]
			if c.Main {
				c.floor = c.floor || s.figure(kase, Floor, metric) != nil
				c.peer = c.peer || s.bestPeer(kase, metric) != nil
			}
		}
		all = append(all, c)
	}
	return all
}

func (c column) cells(s *Scenario, kase, system string) []string {
	f := s.figure(kase, system, c.Metric)
	cells := []string{"–"}
	if f != nil {
		cells[0] = f.text()
	}
	compare := func(to *Figure) {
		text := "–"
		if x, ok := ratio(f, to); ok {
			text = threeDigits(x)
		}
		cells = append(cells, text)
	}
	if c.floor {
		compare(s.figure(kase, Floor, c.Metric))
	}
	if c.peer {
		compare(s.bestPeer(kase, c.Metric))
	}
	return cells
}

// systems returns the systems of a case, in the order of rank.
func (s *Scenario) systems(kase string) []string {
	all := distinct(s.Figures, func(f *Figure) string {
		if f.Case != kase {
			return ""
		}
		return f.System
	})
	all = slices.DeleteFunc(all, func(name string) bool { return name == "" })
	slices.SortStableFunc(all, func(a, b string) int { return rank(a) - rank(b) })
	return all
}

// notes writes the notes of the table's figures, each once, with its system and its cases.
func (m *markdown) notes(s *Scenario, t table) {
	type key struct{ system, note string }
	var keys []key
	about := map[key][]string{}
	rounds := map[int]bool{}
	for i := range s.Figures {
		f := &s.Figures[i]
		if !slices.Contains(t.cases, f.Case) {
			continue
		}
		rounds[len(f.Rounds)] = true
		if f.Note == "" {
			continue
		}
		k := key{f.System, oneLine(f.Note)}
		if about[k] == nil {
			keys = append(keys, k)
		}
		if f.Case != "" && len(t.cases) > 1 && !slices.Contains(about[k], f.Case) {
			about[k] = append(about[k], f.Case)
		} else if about[k] == nil {
			about[k] = []string{}
		}
	}
	n := slices.Sorted(maps.Keys(rounds))
	switch first, last := n[0], n[len(n)-1]; {
	case last == 1:
		m.line("One round.\n")
	case first == last:
		m.line("%d rounds.\n", first)
	default:
		m.line("%d to %d rounds.\n", first, last)
	}
	for _, k := range keys {
		where := ""
		if len(about[k]) > 0 {
			where = " (" + strings.Join(about[k], ", ") + ")"
		}
		m.line("- %s%s: %s", k.system, where, k.note)
	}
	if len(keys) > 0 {
		m.line("")
	}
}

// worse lists every compared figure of ours that is worse than the best peer's, and why.
func (m *markdown) worse(r *Run) {
	var lines []string
	compared := 0
	for i := range r.Scenarios {
		s := &r.Scenarios[i]
		for j := range s.Figures {
			f := &s.Figures[j]
			best := s.bestPeer(f.Case, f.Metric)
			if !f.Main || !isOwn(f.System) || best == nil {
				continue
			}
			compared++
			if f.worse(best) {
				lines = append(lines, s.explain(f, best))
			}
		}
	}
	m.line("## Where we are worse\n")
	switch {
	case compared == 0:
		m.line("Nothing was compared with a peer.\n")
	case len(lines) == 0:
		m.line("In none of the %d comparisons with the best peer.\n", compared)
	default:
		m.line("In %d of the %d comparisons with the best peer:\n\n%s\n", len(lines), compared,
			strings.Join(lines, "\n"))
	}
}

func (s *Scenario) explain(f, best *Figure) string {
	place := oneLine(s.Title)
	if f.Case != "" {
		place += ", " + f.Case
	}
	unit := ""
	if f.Unit != "" {
		unit = " " + f.Unit
	}
	times := ""
	if x, ok := ratio(f, best); ok {
		times = threeDigits(x) + " × "
	}
	why := oneLine(f.Note)
	if why == "" {
		why = "not explained yet"
	}
	return fmt.Sprintf("- %s, %s of %s: %s%s, %sthe %s of %s. Why: %s.", place, f.Metric, f.System,
		f.number(f.median()), unit,
		times, f.number(best.median()), best.System, strings.TrimSuffix(why, "."))
}
