package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
)

// WriteJSON writes the run for ReadJSON. A run that ReadJSON would refuse is written as well,
// because a run takes long; then the error says why it is refused.
func (r *Run) WriteJSON(w io.Writer) error {
	text, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return fmt.Errorf("report: write the run: %w", errors.Join(err, r.check()))
	}
	if _, err := w.Write(append(text, '\n')); err != nil {
		return fmt.Errorf("report: write the run: %w", err)
	}
	if err := r.check(); err != nil {
		return fmt.Errorf("report: the run was written, but: %w", err)
	}
	return nil
}

// ReadJSON reads one run, which nothing may follow. An unknown field, or a figure that contradicts
// another, is an error.
func ReadJSON(from io.Reader) (*Run, error) {
	d := json.NewDecoder(from)
	d.DisallowUnknownFields()
	r := new(Run)
	if err := d.Decode(r); err != nil {
		return nil, fmt.Errorf("report: read a run: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("report: read a run: something follows it")
	}
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("report: read a run: %w", err)
	}
	return r, nil
}

var scenarioName = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

// check returns everything that is wrong with the run, each with its place.
func (r *Run) check() error {
	var errs []error
	wrong := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	if r.Form != "short" && r.Form != "full" {
		wrong("form is %q, not short or full", r.Form)
	}
	if r.Began.IsZero() || r.Ended.Before(r.Began) {
		wrong("it began at %v and ended at %v", r.Began, r.Ended)
	}
	if r.Commit == "" {
		wrong("no commit")
	}
	names := map[string]bool{}
	for i := range r.Scenarios {
		s := &r.Scenarios[i]
		if !scenarioName.MatchString(s.Name) || names[s.Name] {
			wrong("scenario %d is named %q: not of a-z, 0-9 and -, or not the only one", i, s.Name)
		}
		names[s.Name] = true
		if err := s.check(); err != nil {
			wrong("scenario %s: %w", s.Name, err)
		}
	}
	return errors.Join(errs...)
}

func (s *Scenario) check() error {
	var errs []error
	wrong := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	if s.Title == "" {
		wrong("no title")
	}
	seen, columns := map[[3]string]bool{}, map[string]Figure{}
	for _, f := range s.Figures {
		place := fmt.Sprintf("%q of %q in case %q", f.Metric, f.System, f.Case)
		if f.System == "" || f.Metric == "" {
			wrong("%s: a figure needs a system and a metric", place)
		}
		if key := [3]string{f.Case, f.System, f.Metric}; seen[key] {
			wrong("%s is there twice", place)
		} else {
			seen[key] = true
		}
		if c, ok := columns[f.Metric]; !ok {
			columns[f.Metric] = f
		} else if c.Unit != f.Unit || c.More != f.More || c.Main != f.Main {
			wrong("%s: unit, moreIsBetter and main are not those of %q", place, c.System)
		}
		if len(f.Rounds) == 0 {
			wrong("%s has no rounds", place)
		}
		for i, v := range f.Rounds {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				wrong("%s: round %d is %v", place, i, v)
			}
		}
	}
	for _, c := range s.Curves {
		if err := c.check(); err != nil {
			wrong("curve of %q in case %q: %w", c.System, c.Case, err)
		}
	}
	if p := s.Panel; p != nil && (p.Title == "" ||
		len(s.bars(p.Case, p.Metric))+len(s.curves(p.Case, p.Metric)) == 0) {
		wrong("the overview is to show %q in case %q, which is not there or has no title", p.Metric, p.Case)
	}
	return errors.Join(errs...)
}

func (c *Curve) check() error {
	if c.System == "" || len(c.Points) < 2 {
		return errors.New("it needs a system and two points")
	}
	for i, p := range c.Points {
		if !(p[0] >= 0 && p[0] <= 100) || !(p[1] >= 0) || math.IsInf(p[1], 0) {
			return fmt.Errorf("point %d is %v", i, p)
		}
		if i > 0 && (p[0] < c.Points[i-1][0] || p[1] < c.Points[i-1][1]) {
			return fmt.Errorf("point %d, %v, is less than the one before", i, p)
		}
	}
	return nil
}
