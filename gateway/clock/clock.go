// Package clock says whether this machine's time of day can be relied on for schedules. It sets no
// clock. Code that needs only durations uses the monotonic clock and not this package.
package clock

import (
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

// Source is what makes the time of day trustworthy.
type Source string

const (
	NTP Source = "ntp" // the kernel says that an NTP client sets its clock
	RTC Source = "rtc" // the machine has a clock with a battery, and somebody has set it
)

// Clock judges the time of day. LastEvent is required. It is safe for concurrent use.
type Clock struct {
	Source    Source                   // NTP unless it is RTC
	LastEvent func() (time.Time, bool) // when the newest event was made, if there is one
}

// behind is how far the clock may be behind the last event: the times of two attempts may be a
// moment out of order.
const behind = 5 * time.Second

// Trusted tells whether now can be the true time, and if not, why, for people.
func (c Clock) Trusted(now time.Time) (trusted bool, why string) {
	if built := Built(); now.Before(built) {
		return false, fmt.Sprintf("it says %s, before this program was built (%s)",
			now.UTC().Format(time.RFC3339), built.UTC().Format(time.RFC3339))
	}
	if at, ok := c.LastEvent(); ok && now.Before(at.Add(-behind)) {
		return false, fmt.Sprintf(
			"it says %s, before the last event (%s); if that event was wrongly in the future: latchkey time trust",
			now.UTC().Format(time.RFC3339), at.UTC().Format(time.RFC3339))
	}
	if c.Source == RTC {
		return true, ""
	}
	if synced, err := kernelSynchronised(); err != nil || !synced {
		return false, "the kernel says it is not synchronised: run an NTP client, " +
			"or start with --clock rtc if this machine has a battery-backed clock"
	}
	return true, ""
}

// oldest is a time that has certainly passed, for builds that carry no date of their own.
var oldest = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// released is when the source of a released build was committed, in RFC 3339. The Makefile sets it:
// such a build has no state of the working tree in it, so that the same source makes the same
// bytes.
var released string

// Built returns the commit time of this build, or an earlier time. It is computed once, because
// every decision needs it.
var Built = sync.OnceValue(func() time.Time {
	if t, err := time.Parse(time.RFC3339, released); err == nil && t.After(oldest) {
		return t
	}
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
