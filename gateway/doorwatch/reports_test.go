package doorwatch

import (
	"testing"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/limit"
)

func TestWhichReportsBecomeEvents(t *testing.T) {
	type step struct {
		at   time.Duration
		name string
		want bool
	}
	for _, c := range []struct {
		rule  string
		steps []step
	}{
		{"each press of the exit button and each restart becomes an event",
			[]step{{0, reportExit, true}, {reportInterval, reportExit,
				true}}},
		{"repeated reports are limited",
			[]step{{0, reportBoot, true}, {reportInterval - 1, reportBoot, false},
				{reportInterval, reportBoot, true}}},
		{"each kind of report is limited separately", []step{{0, reportBoot, true}, {1, reportExit, true}}},
	} {
		told := limit.Every[reported]{Pause: reportInterval}
		now := time.Now()
		for i, s := range c.steps {
			if _, got := told.Allow(reported{"d", s.name}, now.Add(s.at)); got != s.want {
				t.Errorf("%s: step %d: got %v, want %v", c.rule, i, got, s.want)
			}
		}
	}
}

func TestTamperBegins(t *testing.T) {
	w := Watch{devices: map[access.ID]*device{}}
	for i, s := range []struct{ flag, want bool }{{false, false}, {true, true}, {true, false}, {false, false},
		{true, true}} {
		if got := w.tamperBegins("d", s.flag); got != s.want {
			t.Errorf("step %d: got %v, want %v", i, got, s.want)
		}
	}
}
