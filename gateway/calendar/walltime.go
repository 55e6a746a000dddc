package calendar

import (
	"errors"
	"time"
)

// layouts are the ways to write a time of the site's wall clock.
var layouts = []string{
	"2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02T15:04:05", "2006-01-02T15:04", time.DateOnly,
}

// ErrNoTime is the error of a text that is no time at all.
var ErrNoTime = errors.New("want a time like 2026-11-23, \"2026-11-23 08:00\" or 2026-11-23T08:00:00Z")

var (
	errSkipped   = errors.New("there is no such time that day, the clocks go forward: choose another")
	errAmbiguous = errors.New("that time is there twice that day, the clocks go back: " +
		"write it with its offset, like 2026-10-25T02:30:00+01:00")
)

// ParseTime reads RFC 3339, or a wall-clock time in zone. It refuses a time that a change of the
// clocks skips or repeats.
func ParseTime(s string, zone *time.Location) (time.Time, error) {
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
			again := func(by time.Duration) bool { return t.Add(by).In(zone).Format(layout) == wall }
			if layout != time.DateOnly && (again(shift) || again(-shift)) {
				return time.Time{}, errAmbiguous
			}
		}
		return t, nil
	}
	return time.Time{}, ErrNoTime
}

// inRange refuses years that no door will see, and that JSON could not carry.
func inRange(t time.Time) error {
	if y := t.UTC().Year(); y < 1970 || y > 9998 {
		return ErrNoTime
	}
	return nil
}
