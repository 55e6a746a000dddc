package page

import (
	"fmt"
	"strings"
	"time"

	"latchkey/gateway/calendar"
)

// Week shows a schedule in the present week. The template of that name draws it.
type Week struct {
	Days  []weekDay
	Now   weekMark
	Marks []weekMark // hours, at the top
	Text  string     // the same in words
	Next  []string   // the exceptions to come, nearest first
}

type weekDay struct {
	Name        string
	Date        string
	Today       bool
	Exceptional bool
	Y           int // of its top
	Bars        []weekBar
}

type weekBar struct{ X, W float64 }

type weekMark struct {
	X     float64
	Y     int
	Label string
}

// Measures of the picture, in its own units: names at the left, then the day's hours.
const (
	weekLeft = 52
	weekHour = 12
	weekTop  = 16
	weekRow  = 22
	weekNext = 5 // exceptions that are listed
)

func minuteX(minute int) float64 { return weekLeft + float64(minute)*weekHour/60 }

// NewWeek makes the picture of a schedule. now is the time on the site's wall clock.
func NewWeek(text string, now time.Time) (Week, error) {
	s, err := calendar.ParseSchedule(text)
	if err != nil {
		return Week{}, fmt.Errorf("page: stored schedule: %w", err)
	}
	y, m, d := now.Date()
	// We count with noon in UTC, since every day has one.
	today := time.Date(y, m, d, 12, 0, 0, 0, time.UTC)
	monday := today.AddDate(0, 0, -int(today.Weekday()+6)%7)
	var w Week
	for hour := 0; hour <= 24; hour += 6 {
		w.Marks = append(w.Marks, weekMark{X: minuteX(hour * 60), Y: weekTop + 7*weekRow,
			Label: fmt.Sprint(hour)})
	}
	var words []string
	for i := range 7 {
		at := monday.AddDate(0, 0, i)
		day := weekDay{Name: at.Format("Mon"), Date: at.Format("2"), Today: at.Equal(today), Y: weekTop +
			i*weekRow}
		spans, exceptional := s.Day(at)
		day.Exceptional = exceptional
		var times []string
		for _, sp := range spans {
			day.Bars = append(day.Bars, weekBar{minuteX(sp.Start), minuteX(sp.End) - minuteX(sp.Start)})
			times = append(times, fmt.Sprintf("%02d:%02d to %02d:%02d", sp.Start/60, sp.Start%60, sp.End/60,
				sp.End%60))
		}
		word := at.Format("Monday 2: ") + strings.Join(times, " and ")
		if len(times) == 0 {
			word += "closed"
		}
		if exceptional {
			word += " (an exception)"
		}
		words = append(words, word)
		if day.Today {
			w.Now = weekMark{X: minuteX(now.Hour()*60 + now.Minute()), Y: day.Y}
		}
		w.Days = append(w.Days, day)
	}
	w.Text = "This week. " + strings.Join(words, "; ")
	for item := range strings.SplitSeq(s.String(), ", ") { // exceptions come last there, by date
		if date, _, _ := strings.Cut(item, " "); item[0] >= '0' && item[0] <= '9' &&
			date >= today.Format(time.DateOnly) && len(w.Next) < weekNext {
			w.Next = append(w.Next, item)
		}
	}
	return w, nil
}
