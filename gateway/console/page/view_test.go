package page

import (
	"testing"
	"time"
)

func TestAgoIsInOneUnit(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	in := &View{Now: now}
	for d, want := range map[time.Duration]string{
		-time.Second: "just now", time.Second: "just now", 2 * time.Second: "2 s ago",
		119 * time.Second: "119 s ago",
		2 * time.Minute:   "2 min ago", 119 * time.Minute: "119 min ago", 2 * time.Hour: "2 h ago",
		47 * time.Hour: "47 h ago", 48 * time.Hour: "2 days ago", 400 * 24 * time.Hour: "400 days ago",
	} {
		if got := in.Ago(now.Add(-d)); got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
	if got := in.Ago(time.Time{}); got != "never" {
		t.Errorf("no time: got %q, want never", got)
	}
}
