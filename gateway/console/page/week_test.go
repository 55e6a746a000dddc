package page

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestWeek(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	// A Sunday on which the clocks have just changed.
	now := time.Date(2026, 10, 25, 12, 30, 0, 0, berlin)
	w, err := NewWeek(
		"mon-fri 08:00-18:00, sat 22:00-06:00, 2026-10-21 closed, 2026-10-25 10:00-11:00, 2026-12-25 closed",
		now)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range w.Days {
		line := fmt.Sprintf("%s %s", d.Name, d.Date)
		if d.Today {
			line += " today"
		}
		if d.Exceptional {
			line += " *"
		}
		for _, b := range d.Bars {
			line += fmt.Sprintf(" %v+%v", (b.X-weekLeft)/weekHour, b.W/weekHour)
		}
		got = append(got, line)
	}
	want := []string{"Mon 19 8+10", "Tue 20 8+10", "Wed 21 *", "Thu 22 8+10", "Fri 23 8+10", "Sat 24 22+2",
		"Sun 25 today * 10+1"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if want := minuteX(12*60 + 30); w.Now.X != want || w.Now.Y != w.Days[6].Y {
		t.Errorf("got now at %v, want it on Sunday at %v", w.Now, want)
	}
	if !strings.Contains(w.Text, "Monday 19: 08:00 to 18:00; ") || !strings.Contains(w.Text,
		"Wednesday 21: closed (an exception); ") {
		t.Errorf("got %q, want the week in words", w.Text)
	}
	if want := []string{"2026-10-25 10:00-11:00", "2026-12-25 closed"}; !slices.Equal(w.Next, want) {
		t.Errorf("got the next exceptions %q, want %q", w.Next, want)
	}
}

func TestWeekListsOnlyTheNextExceptions(t *testing.T) {
	var items []string
	for i := range 20 {
		items = append(items, fmt.Sprintf("2027-01-%02d closed", i+1))
	}
	w, err := NewWeek(strings.Join(items, ", "), time.Date(2027, 1, 3, 0, 0, 0, 0, time.UTC))
	if err != nil || len(w.Next) != weekNext || w.Next[0] != "2027-01-03 closed" {
		t.Errorf("got %q, %v, want %d from 2027-01-03", w.Next, err, weekNext)
	}
	if _, err := NewWeek("sometimes", time.Now()); err == nil {
		t.Error("got a picture of an invalid schedule")
	}
}
