package calendar

import (
	"errors"
	"testing"
	"time"
	_ "time/tzdata"
)

func zoneOf(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func TestParseTime(t *testing.T) {
	berlin, lordHowe := zoneOf(t, "Europe/Berlin"), zoneOf(t, "Australia/Lord_Howe")
	for _, tt := range []struct {
		name, in string
		zone     *time.Location
		want     string // RFC 3339 in UTC
		err      error
	}{
		{"RFC 3339 has its own offset", "2026-11-23T08:00:00+01:00", lordHowe, "2026-11-23T07:00:00Z", nil},
		{"a wall clock is the site's", "2026-11-23 08:00", berlin, "2026-11-23T07:00:00Z", nil},
		{"with seconds", "2026-07-01 08:00:30", berlin, "2026-07-01T06:00:30Z", nil},
		{"with a T", "2026-07-01T08:00", berlin, "2026-07-01T06:00:00Z", nil},
		{"a date means its midnight", "2026-07-01", berlin, "2026-06-30T22:00:00Z", nil},
		{"the last minute before a gap", "2026-03-29 01:59", berlin, "2026-03-29T00:59:00Z", nil},
		{"in the gap", "2026-03-29 02:00", berlin, "", errSkipped},
		{"the first minute after it", "2026-03-29 03:00", berlin, "2026-03-29T01:00:00Z", nil},
		{"the last minute before a repeat", "2026-10-25 01:59", berlin, "2026-10-24T23:59:00Z", nil},
		{"an hour that occurs twice", "2026-10-25 02:00", berlin, "", errAmbiguous},
		{"the first minute after it", "2026-10-25 03:00", berlin, "2026-10-25T02:00:00Z", nil},
		{"half an hour that occurs twice", "2026-04-05 01:45", lordHowe, "", errAmbiguous},
		{"no such day", "2026-02-30", berlin, "", ErrNoTime},
		{"no such hour", "2026-02-20 24:01", berlin, "", ErrNoTime},
		{"a word", "yesterday", berlin, "", ErrNoTime},
		{"nothing", "", berlin, "", ErrNoTime},
		{"a date long ago", "1812-01-01", berlin, "", ErrNoTime},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseTime(tt.in, tt.zone)
			if !errors.Is(err, tt.err) || err == nil && got.UTC().Format(time.RFC3339) != tt.want {
				t.Errorf("%q: got %v and %v, want %s and %v", tt.in, got.UTC(), err, tt.want, tt.err)
			}
		})
	}
}

// A time that parses, and is written as RFC 3339, parses again to the same instant.
func FuzzParseTime(f *testing.F) {
	for _, s := range []string{"2026-11-23 08:00", "2026-03-29 02:30", "2026-10-25 02:30",
		"2026-11-23T08:00:00Z", "2026-11-23"} {
		f.Add(s)
	}
	zone := zoneOf(f, "Europe/Berlin")
	f.Fuzz(func(t *testing.T, s string) {
		at, err := ParseTime(s, zone)
		if err != nil {
			return
		}
		again, err := ParseTime(at.Format(time.RFC3339Nano), zone)
		if err != nil || !again.Equal(at) {
			t.Errorf("%q is %v: parsed again, got %v and %v", s, at, again, err)
		}
	})
}
