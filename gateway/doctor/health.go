package doctor

import (
	"context"
	"fmt"
	"time"

	"latchkey/coapres"
	"latchkey/gateway/access"
)

// A tap may wait for the commit under way and then for its own, and its command is sent within
// coapres.CommandWindow or not at all. The rest is for the network and the lock.
const (
	longestCommit = (coapres.CommandWindow - 300*time.Millisecond) / 2
	healthWait    = longestCommit + 50*time.Millisecond // a longer commit is a finding anyway
)

// Store is the part of store.Store that CheckHealth uses.
type Store interface {
	Snapshot() *access.Policy
	Failed() error
	CheckSpace() error
	Space() (used, free, least uint64, err error)
	Held() int
	MeasurePace(ctx context.Context) time.Duration
}

// CheckHealth returns the reasons why cards that may enter would not be let in now, at all doors.
// It does not report what concerns one device or one person, nor a lockdown, which is intended.
// trusted judges a time of day.
func CheckHealth(st Store, trusted func(now time.Time) (bool, string)) (found []Finding) {
	if err := st.Failed(); err != nil {
		return append(found, StoreFinding(err))
	}
	if err := st.CheckSpace(); err != nil {
		_, free, least, e := st.Space()
		if e == nil {
			err = nil
		}
		found = append(found, SpaceFinding(free, least, st.Held(), err))
	}
	ctx, cancel := context.WithTimeout(context.Background(), healthWait)
	defer cancel()
	if took := st.MeasurePace(ctx); took > longestCommit {
		found = append(found, Finding{Code: CodeSlow,
			Text: fmt.Sprintf("the disk takes %v for one write, so commands come too late for the doors",
				took.Round(10*time.Millisecond)),
			Do: "replace the disk or SD card, or find out what else writes to it"})
	}
	if ok, why := trusted(time.Now()); !ok && timed(st.Snapshot()) {
		found = append(found, ClockFinding(why))
	}
	return found
}

// timed tells whether any access depends on the time of day.
func timed(p *access.Policy) bool {
	for _, r := range p.Grants {
		if r.Effect == access.Allow && (r.Schedule != "" || !r.From.IsZero() || !r.Until.IsZero()) {
			return true
		}
	}
	return false
}
