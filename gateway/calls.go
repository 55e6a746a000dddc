package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"latchkey/coapres"
	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/doorwatch"
	"latchkey/keys"
)

// calls is what the resources ask of the gateway: [coapres.Calls].
type calls struct{ g *Gateway }

func (c calls) Scan(ctx context.Context, p *coapres.Peer, s wire.Scan, at time.Time) (wire.Verdict, error) {
	return c.g.onScan(ctx, p, s, at)
}

func (c calls) Act(ctx context.Context, p *coapres.Peer, target string, a wire.Act, at time.Time) (wire.Verdict, error) {
	return c.g.onAct(ctx, p, target, a, at)
}

var errStateUnknown = errors.New("gateway: the target's state is unknown")

func (c calls) State(p *coapres.Peer, target string) (wire.State, error) {
	policy := c.g.store.Snapshot()
	t, ok := policy.TargetByName(target)
	if !ok || !c.g.mayName(p, t.ID) {
		return wire.State{}, coapres.ErrNotFound
	}
	actuator, ok := policy.Actuator(t.ID)
	if !ok {
		return wire.State{}, errStateUnknown
	}
	now := time.Now()
	v, ok := c.g.sessions.View(actuator.ID, now)
	if !ok || !v.Known || v.Unconfirmed(now) {
		return wire.State{}, errStateUnknown
	}
	return v.Expected(now), nil
}

func (c calls) Registered(p *coapres.Peer, lifetime time.Duration) {
	if c.g.sessions.Registered(p, lifetime, time.Now()) {
		c.g.log.Info("device registered", "device", p.Name, "addr", p.Addr)
		c.g.background(func() { c.g.nodeEvent(p, "registered") })
	}
	if p.Kind.Actuator() {
		c.g.doors.Refresh(p.Device)
	}
}

func (c calls) Left(p *coapres.Peer) {
	c.g.sessions.Left(p)
	c.g.background(func() { c.g.nodeEvent(p, "offline: it took its registration back") })
}

func (c calls) Targets(p *coapres.Peer) []string {
	policy := c.g.store.Snapshot()
	var names []string
	for _, id := range policy.Devices[p.Device].Targets {
		names = append(names, policy.Targets[id].Name)
	}
	slices.Sort(names)
	return names
}

// mayName tells whether a target is one of the peer's own.
func (g *Gateway) mayName(p *coapres.Peer, target access.ID) bool {
	return slices.Contains(g.store.Snapshot().Devices[p.Device].Targets, target)
}

// Late makes an event of a scan that came too late, at most one per device and minute. n is its counter.
func (c calls) Late(p *coapres.Peer, n uint64, after time.Duration) {
	now := time.Now()
	c.g.late.Note(p.Device, after, now)
	missed, ok := c.g.lateTold.Allow(p.Device, now)
	if !ok {
		return
	}
	what := "a scan"
	if p.Kind == keys.KindSwitch {
		what = "a press"
	}
	ev := access.Event{Kind: access.EventStale, Device: named(p), Counter: n,
		Detail: fmt.Sprintf("%s came %d ms after the tap, and was not decided", what, after.Milliseconds())}
	if missed > 0 {
		ev.Detail += fmt.Sprintf(" (and %d more since the event before)", missed)
	}
	ev.Target = doorwatch.PlaceOf(c.g.store.Snapshot(), p.Device)
	c.g.log.Warn("scan too late", "device", p.Name, "after", after)
	c.g.background(func() { c.g.feed.Note(ev) })
}

func (c calls) Report(p *coapres.Peer, r wire.Report, late bool) { c.g.doors.Report(p, r, late) }
