package gateway

import (
	"context"
	"errors"
	"slices"
	"time"

	"latchkey/coapres"
	"latchkey/coapres/wire"
	"latchkey/gateway/access"
)

// calls implements [coapres.Calls].
type calls struct{ g *Gateway }

func (c calls) Scan(_ context.Context, p *coapres.Peer, s wire.Scan, at time.Time) (wire.Verdict, error) {
	return c.g.onScan(p, s, at)
}

func (c calls) Act(
	_ context.Context, p *coapres.Peer, target string, a wire.Act, at time.Time,
) (wire.Verdict, error) {
	return c.g.onAct(p, target, a, at)
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
		c.g.bg.Go(func() { c.g.nodes.NoteChange(p, "registered") })
	}
	c.g.nodes.NoteAddress(p)
	if p.Kind.Actuator() {
		c.g.doors.Refresh(p.Device)
	}
}

func (c calls) Left(p *coapres.Peer) {
	c.g.sessions.Left(p)
	c.g.bg.Go(func() { c.g.nodes.NoteChange(p, "offline: it took its registration back") })
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

func (c calls) Late(p *coapres.Peer, n uint64, after time.Duration) { c.g.nodes.NoteLate(p, n, after) }

func (c calls) Report(p *coapres.Peer, r wire.Report, late bool) { c.g.doors.Report(p, r, late) }
