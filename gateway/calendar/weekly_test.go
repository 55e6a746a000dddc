package calendar

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"latchkey/gateway/calendar/calendartest"
)

func TestParseScheduleIsCanonical(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"canonical text does not change", "mon-fri 08:00-18:00, sat 09:00-13:00",
			"mon-fri 08:00-18:00, sat 09:00-13:00"},
		{"days with the same window are joined", "wed 08:00-09:00, mon 08:00-09:00,tue 08:00-09:00",
			"mon-wed 08:00-09:00"},
		{"all seven days are daily", "mon-sat 08:00-09:00, sun 08:00-09:00", "daily 08:00-09:00"},
		{"a range may go over the end of the week", "sun 08:00-09:00, sat 08:00-09:00, mon 08:00-09:00",
			"sat-mon 08:00-09:00"},
		{"a range to the day before is daily", "wed-tue 08:00-09:00", "daily 08:00-09:00"},
		{"midnight as an end is 24:00", "fri 22:00-00:00", "fri 22:00-24:00"},
		{"an item that is there twice is written once",
			"fri 22:00-06:00, fri 22:00-06:00, 2026-12-25 closed, 2026-12-25 closed",
			"fri 22:00-06:00, 2026-12-25 closed"},
		{"case and spaces do not matter", "  MON-Fri   08:00-18:00 ", "mon-fri 08:00-18:00"},
		{"windows sort by day and start", "tue 14:00-15:00, tue 08:00-09:00, mon 20:00-21:00",
			"mon 20:00-21:00, tue 08:00-09:00, tue 14:00-15:00"},
		{"exceptions sort by date and come last",
			"2026-12-31 14:00-15:00, 2026-12-25 closed, 2026-12-31 08:00-12:00, daily 00:00-24:00",
			"daily 00:00-24:00, 2026-12-25 closed, 2026-12-31 08:00-12:00, 2026-12-31 14:00-15:00"},
		{"the 29th of February of a leap year", "2028-02-29 closed", "2028-02-29 closed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, err := ParseSchedule(tt.text)
			if err != nil {
				t.Fatal(err)
			}
			if got := w.String(); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestParseScheduleRefuses(t *testing.T) {
	many := func(n int, item func(i int) string) string {
		var out []string
		for i := range n {
			out = append(out, item(i))
		}
		return strings.Join(out, ",")
	}
	minute := func(i int) string { return fmt.Sprintf("mon 08:%02d-1%d:00", i%60, i/60) }
	date := func(i int) string {
		return time.Date(2026, 1, 1+i, 0, 0, 0, 0, time.UTC).Format(time.DateOnly) + " closed"
	}
	for _, tt := range []struct{ name, text string }{
		{"empty text", ""},
		{"blank text", "  "},
		{"an empty item", "mon 08:00-09:00,"},
		{"a day without a window", "mon"},
		{"a third word", "mon 08:00-09:00 please"},
		{"an unknown day", "monday 08:00-09:00"},
		{"half a range", "mon- 08:00-09:00"},
		{"a weekday closed", "mon closed"},
		{"no such date", "2026-02-29 closed"},
		{"a short date", "2026-2-9 closed"},
		{"year 0", "0000-01-01 closed"},
		{"an hour of one digit", "mon 8:00-09:00"},
		{"minute 60", "mon 08:60-09:00"},
		{"after 24:00", "mon 08:00-24:01"},
		{"a start at 24:00", "mon 24:00-06:00"},
		{"an empty window", "mon 08:00-08:00"},
		{"an empty window at midnight", "mon 00:00-00:00"},
		{"one end only", "mon 08:00"},
		{"a date that is closed and has a window", "2026-12-25 closed, 2026-12-25 08:00-09:00"},
		{"65 windows", many(65, minute)},
		{"a year of exceptions", many(366, date)},
		{"4,097 bytes", "mon 08:00-09:00" + strings.Repeat(" ", 4082)},
		{"more than 4,096 bytes when written out", many(220, date)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if w, err := ParseSchedule(tt.text); !errors.Is(err, ErrInvalid) {
				t.Errorf("got %.80v, %v, want ErrInvalid", w.String(), err)
			}
		})
	}
	for _, ok := range []string{many(64, minute), many(215, date)} {
		if _, err := ParseSchedule(ok); err != nil {
			t.Errorf("at the bound: %v", err)
		}
	}
}

func TestContains(t *testing.T) {
	berlin, _ := time.LoadLocation("Europe/Berlin")
	newYork, _ := time.LoadLocation("America/New_York")
	lordHowe, _ := time.LoadLocation("Australia/Lord_Howe") // changes by half an hour
	for _, tt := range []struct {
		name, text, at string
		zone           *time.Location
		want           bool
	}{
		{"the first instant is inside", "mon 08:00-09:00", "2026-11-23T08:00:00Z", time.UTC, true},
		{"the instant before is outside", "mon 08:00-09:00", "2026-11-23T07:59:59.999999999Z", time.UTC,
			false},
		{"the last nanosecond is inside", "mon 08:00-09:00", "2026-11-23T08:59:59.999999999Z", time.UTC,
			true},
		{"the end is outside", "mon 08:00-09:00", "2026-11-23T09:00:00Z", time.UTC, false},
		{"24:00 reaches to the day's end", "mon 08:00-24:00", "2026-11-23T23:59:59Z", time.UTC, true},
		{"24:00 is not the next day", "mon 08:00-24:00", "2026-11-24T00:00:00Z", time.UTC, false},
		{"Sunday's night ends on Monday", "sun 22:00-06:00", "2026-11-23T05:59:59Z", time.UTC, true},
		{"a night does not begin on its own morning", "sun 22:00-06:00", "2026-11-22T05:00:00Z", time.UTC,
			false},
		{"nil is UTC", "mon 08:00-09:00", "2026-11-23T08:30:00Z", nil, true},
		{"spring: the skipped hour contains no instant, before", "sun 02:00-03:00", "2026-03-29T00:59:59Z",
			berlin, false},
		{"spring: the skipped hour contains no instant, after", "sun 02:00-03:00", "2026-03-29T01:00:00Z",
			berlin, false},
		{"spring: a window that begins in the gap begins after it", "sun 02:30-04:00", "2026-03-29T01:00:00Z",
			berlin, true},
		{"spring: a night ends by the wall clock", "sat 22:00-06:00", "2026-03-29T03:59:59Z", berlin, true},
		{"spring: a night is over by the wall clock", "sat 22:00-06:00", "2026-03-29T04:00:00Z", berlin,
			false},
		{"spring: shortly after midnight, the day before is Saturday", "sat 22:00-00:30",
			"2026-03-28T23:15:00Z", berlin, true},
		{"spring: late on the short day, the day before is Saturday", "sat 22:00-23:30",
			"2026-03-29T21:15:00Z", berlin, false},
		{"autumn: first 02:30", "sun 02:00-03:00", "2026-10-25T00:30:00Z", berlin, true},
		{"autumn: second 02:30", "sun 02:00-03:00", "2026-10-25T01:30:00Z", berlin, true},
		{"autumn: 01:59:59 is before", "sun 02:00-03:00", "2026-10-24T23:59:59Z", berlin, false},
		{"autumn: second 03:00 is after", "sun 02:00-03:00", "2026-10-25T02:00:00Z", berlin, false},
		{"autumn: late on the long day, it is still Sunday", "sun 23:00-24:00", "2026-10-25T22:30:00Z",
			berlin, true},
		{"autumn in New York", "sun 01:00-02:00", "2026-11-01T06:30:00Z", newYork, true},
		{"half an hour twice", "sun 01:30-02:00", "2026-04-04T15:15:00Z", lordHowe, true},
		{"a closed date", "daily 00:00-24:00, 2026-12-25 closed", "2026-12-25T12:00:00Z", time.UTC, false},
		{"a closed date cuts off the night before", "daily 22:00-06:00, 2026-12-25 closed",
			"2026-12-25T03:00:00Z", time.UTC, false},
		{"a closed date has no night into the next morning", "daily 22:00-06:00, 2026-12-25 closed",
			"2026-12-26T03:00:00Z", time.UTC, false},
		{"the night before a closed date lasts to midnight", "daily 22:00-06:00, 2026-12-25 closed",
			"2026-12-24T23:59:59Z", time.UTC, true},
		{"an exception over midnight continues in the next morning", "2026-12-31 22:00-04:00",
			"2027-01-01T03:00:00Z", time.UTC, true},
		{"unless that date is an exception too", "2026-12-31 22:00-04:00, 2027-01-01 closed",
			"2027-01-01T03:00:00Z", time.UTC, false},
		{"an exception's date is local", "2026-12-31 00:00-24:00", "2026-12-30T23:30:00Z", berlin, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, err := ParseSchedule(tt.text)
			if err != nil {
				t.Fatal(err)
			}
			at, err := time.Parse(time.RFC3339, tt.at)
			if err != nil {
				t.Fatal(err)
			}
			if got := w.Contains(at, tt.zone); got != tt.want {
				t.Errorf("%q at %v: got %v, want %v", tt.text, at, got, tt.want)
			}
		})
	}
	if (Weekly{}).Contains(time.Now(), time.UTC) {
		t.Error("the zero schedule contains now, want nothing")
	}
}

func FuzzParseSchedule(f *testing.F) {
	for _, s := range []string{"mon-fri 08:00-18:00, sat 09:00-13:00", "fri 22:00-06:00", "daily 00:00-24:00",
		"2026-12-25 closed",
		"2026-12-31 08:00-12:00, 2026-12-31 22:00-02:00, sat-mon 23:00-00:00",
		"mon 08:00-09:00, wed 08:00-09:00, sun 08:00-09:00"} {
		f.Add(s, int64(1774745999))
	}
	berlin, _ := time.LoadLocation("Europe/Berlin")
	f.Fuzz(func(t *testing.T, text string, unix int64) {
		w, err := ParseSchedule(text)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatalf("got %v, want ErrInvalid", err)
			}
			return
		}
		canonical := w.String()
		again, err := ParseSchedule(canonical)
		if err != nil {
			t.Fatalf("%q does not parse again as %q: %v", text, canonical, err)
		}
		if got := again.String(); got != canonical {
			t.Fatalf("%q: got %q, then %q", text, canonical, got)
		}
		w.Contains(time.Unix(unix, 0), berlin) // must not panic for any instant
		at := time.Unix(unix%(400*365*24*3600), 0)
		got := w.Contains(at, berlin)
		if got != again.Contains(at, berlin) || got != calendartest.Contains(canonical, at.In(berlin)) {
			t.Fatalf("%q at %v: got %v, want the same as for its canonical text and by the naive way",
				canonical,
				at, got)
		}
	})
}
