// Package calendartest evaluates a schedule in a slow and simple way, for tests that compare the
// result with that of package calendar.
package calendartest

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Contains searches the canonical text for an item of today that contains this minute, or for one
// of yesterday that reaches into it.
func Contains(text string, local time.Time) bool {
	y, m, d := local.Date()
	today := fmt.Sprintf("%04d-%02d-%02d", y, m, d)
	yesterday := time.Date(y, m, d-1, 0, 0, 0, 0, time.UTC)
	now := local.Format("15:04")
	day := func(date string, weekday time.Weekday) (hours []string, dated bool) {
		for item := range strings.SplitSeq(text, ", ") {
			on, window, _ := strings.Cut(item, " ")
			if on == date {
				dated = true
			}
			_ = window
		}
		for item := range strings.SplitSeq(text, ", ") {
			on, window, _ := strings.Cut(item, " ")
			if window == "closed" {
				continue
			}
			if dated && on == date || !dated && isOn(on, weekday) {
				hours = append(hours, window)
			}
		}
		return hours, dated
	}
	hours, dated := day(today, local.Weekday())
	for _, h := range hours {
		start, end, _ := strings.Cut(h, "-")
		if start < end && start <= now && now < end || start > end && start <= now {
			return true
		}
	}
	if dated {
		return false
	}
	hours, _ = day(yesterday.Format(time.DateOnly), yesterday.Weekday())
	return slices.ContainsFunc(hours, func(h string) bool {
		start, end, _ := strings.Cut(h, "-")
		return start > end && now < end
	})
}

func isOn(on string, weekday time.Weekday) bool {
	if on[0] >= '0' && on[0] <= '9' {
		return false
	}
	if on == "daily" {
		return true
	}
	week := "mon tue wed thu fri sat sun mon tue wed thu fri sat sun"
	first, last, isRange := strings.Cut(on, "-")
	if !isRange {
		last = first
	}
	from := strings.Index(week, first)
	to := from + strings.Index(week[from:], last)
	return strings.Contains(week[from:to+3], strings.ToLower(weekday.String()[:3]))
}
