package calendar

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Bounds of a schedule. They hold for the canonical text too, so that it always parses again.
const (
	maxScheduleText = 4096 // which is 215 exceptions
	maxWindows      = 64
)

// ParseSchedule reads a schedule: items separated by commas, each of them
//
//	mon-fri 08:00-18:00        a window on these days; a range may cross the week's end
//	daily 00:00-24:00          a window on every day
//	fri 22:00-06:00            a window over midnight, Friday's evening and Saturday's morning
//	2026-12-25 closed          an exception: nothing on this date
//	2026-12-31 08:00-12:00     an exception: only this window on this date; items of one date add up
//
// Times are the wall clock of the site's zone, in whole minutes. At most 64 weekly windows and
// 4,096 bytes, which is 215 exceptions. Errors wrap [ErrInvalid] and leave it to the caller to name
// the schedule.
func ParseSchedule(text string) (Weekly, error) {
	if len(text) > maxScheduleText {
		return Weekly{}, fmt.Errorf("%w: %d bytes, at most %d", ErrInvalid, len(text), maxScheduleText)
	}
	if strings.TrimSpace(text) == "" {
		return Weekly{}, fmt.Errorf("%w: empty: write something like mon-fri 08:00-18:00", ErrInvalid)
	}
	var b scheduleBuilder
	for item := range strings.SplitSeq(text, ",") {
		if err := b.add(item); err != nil {
			return Weekly{}, fmt.Errorf("%q: %w: %w", strings.TrimSpace(item), ErrInvalid, err)
		}
	}
	w, err := b.weekly()
	if err != nil {
		return Weekly{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return w, nil
}

type scheduleBuilder struct {
	windows []dayWindow
	dated   []datedSpan
}

type datedSpan struct {
	date   civil
	closed bool
	span
}

func (b *scheduleBuilder) add(item string) error {
	fields := strings.Fields(strings.ToLower(item))
	if len(fields) != 2 {
		return fmt.Errorf("want a day or date and a window, like mon-fri 08:00-18:00")
	}
	day, hours := fields[0], fields[1]
	if day[0] >= '0' && day[0] <= '9' {
		date, err := parseDate(day)
		if err != nil {
			return err
		}
		x := datedSpan{date: date, closed: hours == "closed"}
		if !x.closed {
			if x.span, err = parseSpan(hours); err != nil {
				return err
			}
		}
		b.dated = append(b.dated, x)
		return nil
	}
	days, err := parseDays(day)
	if err != nil {
		return err
	}
	s, err := parseSpan(hours)
	if err != nil {
		return err
	}
	b.windows = append(b.windows, dayWindow{days, s})
	return nil
}

// weekly sorts, drops duplicates and joins days that share a window.
func (b *scheduleBuilder) weekly() (Weekly, error) {
	var w Weekly
	if len(b.windows) > maxWindows {
		return w, fmt.Errorf("%d windows, at most %d", len(b.windows), maxWindows)
	}
	days := map[span]weekdays{}
	for _, x := range b.windows {
		days[x.span] |= x.days
	}
	for s, set := range days {
		for _, run := range set.splitRuns() {
			w.windows = append(w.windows, dayWindow{run, s})
		}
	}
	slices.SortFunc(w.windows, func(x, y dayWindow) int {
		return cmp.Or(cmp.Compare(x.days.first(), y.days.first()), x.span.compare(y.span),
			cmp.Compare(x.days, y.days))
	})
	slices.SortFunc(b.dated, func(x, y datedSpan) int {
		return cmp.Or(cmp.Compare(x.date, y.date), x.span.compare(y.span))
	})
	for i, x := range b.dated {
		if i == 0 || b.dated[i-1].date != x.date {
			w.exceptions = append(w.exceptions, exception{date: x.date})
		} else if x.closed != b.dated[i-1].closed {
			return Weekly{}, fmt.Errorf("%v is closed and has a window: keep one of the two", x.date)
		}
		e := &w.exceptions[len(w.exceptions)-1]
		if !x.closed && !slices.Contains(e.spans, x.span) {
			e.spans = append(e.spans, x.span)
		}
	}
	if n := len(w.String()); n > maxScheduleText {
		return Weekly{}, fmt.Errorf("%d bytes when written out, at most %d", n, maxScheduleText)
	}
	return w, nil
}

func (s span) compare(t span) int {
	return cmp.Or(cmp.Compare(s.start, t.start), cmp.Compare(s.end, t.end))
}

func parseDate(s string) (civil, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil || t.Year() < 1 {
		return 0, fmt.Errorf("no such date: want one like 2026-12-25")
	}
	return toCivil(t), nil
}

func parseDays(s string) (weekdays, error) {
	if s == "daily" {
		return everyDay, nil
	}
	from, to, isRange := strings.Cut(s, "-")
	if !isRange {
		to = from
	}
	first, last := slices.Index(dayNames[:], from), slices.Index(dayNames[:], to)
	if first < 0 || last < 0 {
		return 0, errors.New(
			"no such day: want mon tue wed thu fri sat sun, a range like mon-fri, daily, or a date")
	}
	days := weekdays(1 << last)
	for d := first; d != last; d = (d + 1) % 7 {
		days |= 1 << d
	}
	return days, nil
}

func parseSpan(s string) (span, error) {
	from, to, ok := strings.Cut(s, "-")
	start, ok1 := parseMinute(from)
	end, ok2 := parseMinute(to)
	switch {
	case !ok || !ok1 || !ok2 || start == 24*60:
		return span{}, fmt.Errorf("want a window like 08:00-18:00, from 00:00 to 24:00")
	case start == end:
		return span{}, fmt.Errorf("the window starts when it ends: a whole day is 00:00-24:00")
	case end == 0:
		end = 24 * 60 // one way to write the day's end
	}
	return span{start, end}, nil
}

// parseMinute reads hh:mm, up to 24:00.
func parseMinute(s string) (int16, bool) {
	if len(s) != 5 || s[2] != ':' {
		return 0, false
	}
	var n [4]int16
	for i, at := range [...]int{0, 1, 3, 4} {
		if s[at] < '0' || s[at] > '9' {
			return 0, false
		}
		n[i] = int16(s[at] - '0')
	}
	hour, minute := n[0]*10+n[1], n[2]*10+n[3]
	return hour*60 + minute, minute < 60 && hour*60+minute <= 24*60
}
