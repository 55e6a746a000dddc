package gateway

import (
	"context"
	"fmt"
	"time"

	"latchkey/coapres"
	"latchkey/gateway/access"
	"latchkey/gateway/admin"
)

// A tap may wait for the commit under way and then for its own, and its command is sent within coapres.CommandWindow or not at all; the
// rest is for the network and the lock.
const (
	longestCommit = (coapres.CommandWindow - 300*time.Millisecond) / 2
	healthWait    = longestCommit + 50*time.Millisecond // a commit that takes longer is an answer
)

// health finds why a card that may enter would not be let in now, for everybody and every door. What concerns one device, or one person,
// is the doctor's; and a lockdown is meant.
func (g *Gateway) health() (found []admin.Finding) {
	if err := g.store.Failed(); err != nil {
		return append(found, admin.StoreFinding(err))
	}
	if err := g.store.Low(); err != nil {
		_, free, least, e := g.store.Space()
		if e == nil {
			err = nil
		}
		found = append(found, admin.SpaceFinding(free, least, g.store.Held(), err))
	}
	ctx, cancel := context.WithTimeout(context.Background(), healthWait)
	defer cancel()
	if took := g.store.Pace(ctx); took > longestCommit {
		found = append(found, admin.Finding{Code: admin.CodeSlow, Text: fmt.Sprintf("the disk takes %v for one write, so commands come too late for the doors", took.Round(10*time.Millisecond)),
			Do: "replace the disk or SD card, or find out what else writes to it"})
	}
	if trusted, why := g.clock.Trusted(time.Now()); !trusted && timed(g.store.Snapshot()) {
		found = append(found, admin.ClockFinding(why))
	}
	return found
}

// timed tells whether any grant depends on the time of day.
func timed(p *access.Policy) bool {
	for _, r := range p.Grants {
		if r.Effect == access.Allow && (r.Schedule != "" || !r.From.IsZero() || !r.Until.IsZero()) {
			return true
		}
	}
	return false
}
