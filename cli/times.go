package cli

import (
	"errors"
	"time"
)

// layouts are the ways to write a time of the site's wall clock.
var layouts = []string{"2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02T15:04:05", "2006-01-02T15:04", time.DateOnly}

var (
	errNoTime    = errors.New("want a time like 2026-11-23, \"2026-11-23 08:00\" or 2026-11-23T08:00:00Z")
	errSkipped   = errors.New("there is no such time that day, the clocks go forward: choose another")
	errAmbiguous = errors.New("that time is there twice that day, the clocks go back: write it with its offset, like 2026-10-25T02:30:00+01:00")
)

// parseTime reads RFC 3339, or a wall-clock time in zone. What the change of the clocks makes impossible or ambiguous is refused.
func parseTime(s string, zone *time.Location) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, inRange(t)
	}
	for _, layout := range layouts {
		t, err := time.ParseInLocation(layout, s, zone)
		if err != nil {
			continue
		}
		if err := inRange(t); err != nil {
			return time.Time{}, err
		}
		wall := t.Format(layout)
		if want, err := time.Parse(layout, s); err != nil || wall != want.Format(layout) {
			return time.Time{}, errSkipped
		}
		for _, shift := range []time.Duration{30 * time.Minute, time.Hour, 2 * time.Hour} {
			if t.Add(shift).In(zone).Format(layout) == wall && layout != time.DateOnly || t.Add(-shift).In(zone).Format(layout) == wall && layout != time.DateOnly {
				return time.Time{}, errAmbiguous
			}
		}
		return t, nil
	}
	return time.Time{}, errNoTime
}

// inRange refuses years that no door will see, and that JSON could not carry.
func inRange(t time.Time) error {
	if y := t.UTC().Year(); y < 1970 || y > 9998 {
		return errNoTime
	}
	return nil
}

// inZone writes a time for people; the zero time is empty.
func inZone(t time.Time, zone *time.Location) string {
	if t.IsZero() {
		return ""
	}
	return t.In(zone).Format("2006-01-02 15:04:05")
}

// time is the flag's value as a time, or nil if it is not given.
func (x *call) time(flag string) (*time.Time, error) {
	s := x.String(flag)
	if s == "" {
		return nil, nil
	}
	// A wrong time is refused before anything is opened, and only a wall clock needs to know the zone.
	t, err := parseTime(s, time.UTC)
	if err != nil {
		return nil, x.wrong("--%s %q: %v", flag, shortWord(s), err)
	}
	if _, err := time.Parse(time.RFC3339, s); err == nil {
		return &t, nil
	}
	zone, err := x.zone()
	if err != nil {
		return nil, err
	}
	if t, err = parseTime(s, zone); err != nil {
		return nil, x.wrong("--%s %q: %v", flag, shortWord(s), err)
	}
	return &t, nil
}
