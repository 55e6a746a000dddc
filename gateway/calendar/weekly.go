package calendar

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Weekly is a parsed schedule: windows of local wall-clock time that recur each week, and dated
// exceptions. It is immutable; the zero Weekly contains no instant.
//
// A window is half-open, [start, end). One that ends at or before its start crosses midnight and
// belongs to the day it starts on: "fri 22:00-06:00" is Friday's evening and Saturday's morning.
//
// An exception replaces its whole local day, 00:00 to 24:00: on that date no weekly window counts,
// nor the end of one that began the evening before. A window of the
// exception that crosses midnight goes on into the next morning, unless that date has an exception
// too.
type Weekly struct {
	windows    []dayWindow // sorted by first day, start, end
	exceptions []exception // sorted by date, one for each date
}

// span is a stretch of one local day in minutes after midnight; end is 1440 for 24:00. start > end
// crosses midnight.
type span struct{ start, end int16 }

type dayWindow struct {
	days weekdays
	span
}

// exception is what counts on one date instead; no spans is closed.
type exception struct {
	date  civil
	spans []span
}

// civil is a date on the local calendar as yyyymmdd, so that dates compare as numbers.
type civil int32

func toCivil(t time.Time) civil {
	y, m, d := t.Date()
	return civil(y*10000 + int(m)*100 + d)
}

func (c civil) String() string { return fmt.Sprintf("%04d-%02d-%02d", c/10000, c/100%100, c%100) }

// weekdays is a set of days; bit 0 is Monday.
type weekdays uint8

const everyDay weekdays = 1<<7 - 1

var dayNames = [...]string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}

func toWeekdays(d time.Weekday) weekdays { return 1 << ((d + 6) % 7) }

// head tells whether the minute falls in the part of s on the day on which s starts.
func (s span) head(minute int16) bool {
	return minute >= s.start && (minute < s.end || s.start > s.end)
}

// tail tells whether the minute falls in the part of s on the morning after.
func (s span) tail(minute int16) bool { return s.start > s.end && minute < s.end }

// Contains tells whether the instant t lies in the schedule, by the wall clock of the zone (nil is
// UTC). No instant falls in the hour that a change to summer time skips. An hour that occurs twice
// counts both times.
func (w Weekly) Contains(t time.Time, zone *time.Location) bool {
	if zone == nil {
		zone = time.UTC
	}
	t = t.In(zone)
	minute := int16(t.Hour()*60 + t.Minute())
	if e, ok := w.exception(toCivil(t)); ok {
		return slices.ContainsFunc(e.spans, func(s span) bool { return s.head(minute) })
	}
	for _, x := range w.windows {
		if x.days&toWeekdays(t.Weekday()) != 0 && x.head(minute) {
			return true
		}
	}
	// The day before is counted on the calendar, in UTC: 24 hours before t may be today or two days
	// ago where clocks change.
	y, m, d := t.Date()
	before := time.Date(y, m, d-1, 12, 0, 0, 0, time.UTC)
	if e, ok := w.exception(toCivil(before)); ok {
		return slices.ContainsFunc(e.spans, func(s span) bool { return s.tail(minute) })
	}
	for _, x := range w.windows {
		if x.days&toWeekdays(before.Weekday()) != 0 && x.tail(minute) {
			return true
		}
	}
	return false
}

// Span is a stretch of one local day in minutes of the wall clock after midnight: [Start, End), End
// at most 1440.
type Span struct{ Start, End int }

// Day returns the spans of a local date that lie in the schedule, in order and without overlaps,
// and whether the date has an exception. The time of day of date is ignored.
func (w Weekly) Day(date time.Time) (spans []Span, exceptional bool) {
	add := func(start, end int16) {
		if start < end {
			spans = append(spans, Span{int(start), int(end)})
		}
	}
	heads := func(s span) {
		if s.start > s.end {
			add(s.start, 24*60)
		} else {
			add(s.start, s.end)
		}
	}
	tails := func(s span) {
		if s.start > s.end {
			add(0, s.end)
		}
	}
	y, m, d := date.Date()
	before := time.Date(y, m, d-1, 12, 0, 0, 0, time.UTC) // as in Contains
	e, exceptional := w.exception(toCivil(date))
	for _, s := range e.spans {
		heads(s)
	}
	if !exceptional {
		for _, x := range w.windows {
			if x.days&toWeekdays(date.Weekday()) != 0 {
				heads(x.span)
			}
		}
		if e, ok := w.exception(toCivil(before)); ok {
			for _, s := range e.spans {
				tails(s)
			}
		} else {
			for _, x := range w.windows {
				if x.days&toWeekdays(before.Weekday()) != 0 {
					tails(x.span)
				}
			}
		}
	}
	slices.SortFunc(spans, func(a, b Span) int { return a.Start - b.Start })
	joined := spans[:0]
	for _, s := range spans {
		if n := len(joined); n > 0 && s.Start <= joined[n-1].End {
			joined[n-1].End = max(joined[n-1].End, s.End)
			continue
		}
		joined = append(joined, s)
	}
	return joined, exceptional
}

func (w Weekly) exception(date civil) (exception, bool) {
	byDate := func(e exception, d civil) int { return int(e.date - d) }
	i, ok := slices.BinarySearchFunc(w.exceptions, date, byDate)
	if !ok {
		return exception{}, false
	}
	return w.exceptions[i], true
}

// String returns the canonical text, which [ParseSchedule] reads back to the same schedule.
func (w Weekly) String() string {
	var items []string
	for _, x := range w.windows {
		items = append(items, x.days.String()+" "+x.span.String())
	}
	for _, e := range w.exceptions {
		if len(e.spans) == 0 {
			items = append(items, e.date.String()+" closed")
		}
		for _, s := range e.spans {
			items = append(items, e.date.String()+" "+s.String())
		}
	}
	return strings.Join(items, ", ")
}

// ShortenSchedule cuts a schedule's text after an item, for a sentence.
func ShortenSchedule(s string) string {
	const most = 120
	if len(s) <= most {
		return s
	}
	cut := strings.LastIndexByte(s[:most], ',') // schedule items are ASCII
	if cut < 0 {
		return "a long text"
	}
	return s[:cut] + ", …"
}

func (s span) String() string {
	return fmt.Sprintf("%02d:%02d-%02d:%02d", s.start/60, s.start%60, s.end/60, s.end%60)
}

// String writes one run of days; [dayWindow] holds no other sets.
func (d weekdays) String() string {
	if d == everyDay {
		return "daily"
	}
	first := d.first()
	last := first
	for d&(1<<((last+1)%7)) != 0 {
		last = (last + 1) % 7
	}
	if first == last {
		return dayNames[first]
	}
	return dayNames[first] + "-" + dayNames[last]
}

// first is the day that starts the run, Monday for all seven.
func (d weekdays) first() int {
	for i := range 7 {
		if d&(1<<i) != 0 && d&(1<<((i+6)%7)) == 0 {
			return i
		}
	}
	return 0
}

// splitRuns splits a set into runs of consecutive days. A run may go over the week's end, as in
// sat-mon.
func (d weekdays) splitRuns() []weekdays {
	if d == everyDay {
		return []weekdays{d}
	}
	var out []weekdays
	for i := range 7 {
		if d&(1<<i) == 0 || d&(1<<((i+6)%7)) != 0 {
			continue // not in the set, or not the start of a run
		}
		var run weekdays
		for j := i; d&(1<<(j%7)) != 0; j++ {
			run |= 1 << (j % 7)
		}
		out = append(out, run)
	}
	return out
}
