package gateway

import (
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"latchkey/gateway/store"
)

// ClockSource is what makes the time of day trustworthy.
type ClockSource string

const (
	ClockNTP ClockSource = "ntp" // the kernel says that it is synchronised
	ClockRTC ClockSource = "rtc" // the machine has a clock with a battery, and somebody has set it
)

// clock says whether the time of day can be relied on for schedules.
type clock struct {
	source    ClockSource
	lastEvent func() (time.Time, bool)
}

// TrustedClock returns what a gateway on st with this source would say of a time: whether it may be the true one, and if not, why, for people.
func TrustedClock(source ClockSource, st *store.Store) func(now time.Time) (trusted bool, why string) {
	return (&clock{source: source, lastEvent: st.LastEventAt}).trusted
}

// behind is how far the clock may stand behind the last event: two attempts may be stamped out of order by a moment.
const behind = 5 * time.Second

// trusted tells whether now may be the true time, and if not, why, for people.
func (c *clock) trusted(now time.Time) (bool, string) {
	if built := built(); now.Before(built) {
		return false, fmt.Sprintf("it says %s, before this program was built (%s)", now.UTC().Format(time.RFC3339), built.UTC().Format(time.RFC3339))
	}
	if at, ok := c.lastEvent(); ok && now.Before(at.Add(-behind)) {
		return false, fmt.Sprintf("it says %s, before the last event (%s); if that event was wrongly in the future: latchkey time trust",
			now.UTC().Format(time.RFC3339), at.UTC().Format(time.RFC3339))
	}
	if c.source == ClockRTC {
		return true, ""
	}
	if synced, err := kernelSynchronised(); err != nil || !synced {
		return false, "the kernel says it is not synchronised: run an NTP client, or start with --clock rtc if this machine has a battery-backed clock"
	}
	return true, ""
}

// oldest is a time that has certainly passed, for builds that carry no date of their own.
var oldest = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// built is when this program was built: every decision asks.
var built = sync.OnceValue(func() time.Time {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key != "vcs.time" {
				continue
			}
			if t, err := time.Parse(time.RFC3339, s.Value); err == nil && t.After(oldest) {
				return t
			}
		}
	}
	return oldest
})
