package cli

import (
	"time"

	"latchkey/cli/terminal"
	"latchkey/gateway/calendar"
)

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
	// A wrong time is refused before anything is opened, and only a wall clock needs to know the
	// zone.
	t, err := calendar.ParseTime(s, time.UTC)
	if err != nil {
		return nil, x.wrong("--%s %q: %v", flag, terminal.ShortenWord(s), err)
	}
	if _, err := time.Parse(time.RFC3339, s); err == nil {
		return &t, nil
	}
	zone, err := x.zone()
	if err != nil {
		return nil, err
	}
	if t, err = calendar.ParseTime(s, zone); err != nil {
		return nil, x.wrong("--%s %q: %v", flag, terminal.ShortenWord(s), err)
	}
	return &t, nil
}
