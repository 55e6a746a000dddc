package calendar

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestDay(t *testing.T) {
	for _, tt := range []struct {
		name, text, date string
		want             []Span
		exceptional      bool
	}{
		{"a window", "mon 08:00-09:00", "2026-11-23", []Span{{480, 540}}, false},
		{"a day without a window", "mon 08:00-09:00", "2026-11-24", nil, false},
		{"to midnight", "mon 08:00-24:00", "2026-11-23", []Span{{480, 1440}}, false},
		{"the evening of a window over midnight", "mon 22:00-06:00", "2026-11-23",
			[]Span{{1320, 1440}}, false},
		{"the morning of a window over midnight", "mon 22:00-06:00", "2026-11-24", []Span{{0, 360}}, false},
		{"a window over midnight every day", "daily 22:00-06:00", "2026-11-24",
			[]Span{{0, 360}, {1320, 1440}}, false},
		{"overlaps join", "mon 08:00-12:00, mon 10:00-14:00, mon 14:00-15:00", "2026-11-23",
			[]Span{{480, 900}}, false},
		{"a closed date", "daily 00:00-24:00, 2026-12-25 closed", "2026-12-25", nil, true},
		{"an exception replaces the morning of the night before", "daily 22:00-06:00, 2026-12-25 10:00-11:00",
			"2026-12-25", []Span{{600, 660}}, true},
		{"an exception over midnight continues in the next morning", "2026-12-25 22:00-02:00", "2026-12-26",
			[]Span{{0, 120}},
			false},
		{"a closed date has no night that continues in the next morning",
			"daily 22:00-06:00, 2026-12-25 closed", "2026-12-26",
			[]Span{{1320, 1440}}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, err := ParseSchedule(tt.text)
			if err != nil {
				t.Fatal(err)
			}
			date, err := time.Parse(time.DateOnly, tt.date)
			if err != nil {
				t.Fatal(err)
			}
			if got, exceptional := w.Day(date); !slices.Equal(got, tt.want) || exceptional != tt.exceptional {
				t.Errorf("got %v %v, want %v %v", got, exceptional, tt.want, tt.exceptional)
			}
		})
	}
}

// Day and Contains agree for every minute, also on days when the clocks change.
func TestDayIsWhatContainsSays(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	inside := 0
	for range 200 {
		w := randomSchedule(t, r)
		for _, start := range []time.Time{time.Date(2026, 3, 27, 0, 0, 0, 0, berlin),
			time.Date(2026, 10, 23, 0, 0, 0, 0, berlin), time.Date(2026, 12, 23, 0, 0, 0, 0, time.UTC)} {
			var day time.Time
			var spans []Span
			for at := start; at.Before(start.AddDate(0, 0, 4)); at = at.Add(7 * time.Minute) {
				if at.Day() != day.Day() || day.IsZero() {
					day = at
					spans, _ = w.Day(at)
				}
				minute := at.Hour()*60 + at.Minute()
				got := slices.ContainsFunc(spans, func(s Span) bool {
					return minute >= s.Start && minute < s.End
				})
				if want := w.Contains(at, start.Location()); got != want {
					t.Fatalf("%s at %v: got %v, want %v", w, at, got, want)
				}
				if got {
					inside++
				}
			}
			for i, s := range spans {
				if s.Start < 0 || s.End > 1440 || s.Start >= s.End || i > 0 && s.Start <= spans[i-1].End {
					t.Fatalf("%s: got %v, want them apart and in order", w, spans)
				}
			}
		}
	}
	if inside < 1000 {
		t.Errorf("got only %d minutes inside, so this test shows nothing", inside)
	}
}

func randomSchedule(t *testing.T, r *rand.Rand) Weekly {
	t.Helper()
	times := func() string {
		for {
			a, b := r.IntN(24*12)*5, r.IntN(24*12+1)*5
			if a != b && !(b == 0 && a == 0) {
				return fmt.Sprintf("%02d:%02d-%02d:%02d", a/60, a%60, b/60, b%60)
			}
		}
	}
	var items []string
	for range 1 + r.IntN(3) {
		items = append(items, dayNames[r.IntN(7)]+"-"+dayNames[r.IntN(7)]+" "+times())
	}
	for range r.IntN(3) {
		date := []string{"2026-03-28", "2026-03-29", "2026-10-25", "2026-12-25", "2026-12-24"}[r.IntN(5)]
		items = slices.DeleteFunc(items, func(s string) bool { return strings.HasPrefix(s, date) })
		if r.IntN(2) == 0 {
			items = append(items, date+" closed")
		} else {
			items = append(items, date+" "+times())
		}
	}
	w, err := ParseSchedule(strings.Join(items, ", "))
	if err != nil {
		t.Fatal(err)
	}
	return w
}
