package gateway

import (
	"context"
	"errors"
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/access/edit"
	"latchkey/gateway/session"
)

// Apply changes the policy through the store and then updates the sessions: those of a revoked key
// or a removed device end at once, and a lockdown ends running pulses. It does so after
// edit.ErrNotDurable too.
func (g *Gateway) Apply(ctx context.Context, actor string, changes ...access.Change) (uint64, error) {
	before := g.store.Snapshot()
	seq, err := g.store.Apply(ctx, actor, changes...)
	if err != nil && !errors.Is(err, edit.ErrNotDurable) { // such a change is in effect
		return seq, err
	}
	after := g.store.Snapshot()
	g.nodes.EndRevoked(after)
	g.nodes.Handshakes.ForgetRemoved(after)
	g.doors.ForgetRemoved(after)
	if after.Site.Lockdown && !before.Site.Lockdown {
		g.lockAll(after)
	}
	for id := range before.Devices {
		if _, ok := after.Devices[id]; !ok {
			g.doors.Forget(id)
			g.nodes.Forget(id)
			g.feed.DeviceRemoved(id)
		}
	}
	g.rollback.Settle(seq)
	return seq, err
}

// byLockdown is the operator's name in attempts that a lockdown makes.
const byLockdown = "lockdown"

// lock locks a door because of a lockdown. It is an attempt like any other, with an event of its
// own.
func (g *Gateway) lock(door access.Target) {
	_, err := g.operate(access.Attempt{Source: access.ByOperator, Operator: byLockdown,
		Target: door.ID, Action: wire.Lock, At: time.Now()})
	if err != nil {
		g.log.Error("door not locked", "target", door.Name, "err", err)
	}
}

// lockAll locks every door that has a lock.
func (g *Gateway) lockAll(p *access.Policy) {
	for _, t := range p.Targets {
		if _, ok := p.Actuator(t.ID); ok && t.Kind == access.Door {
			g.bg.Go(func() { g.lock(t) })
		}
	}
}

// keepShut locks a door whose lock is found unlocked during a lockdown: the command of the lockdown
// did not reach the lock.
func (g *Gateway) keepShut(device access.ID) {
	p := g.store.Snapshot()
	if !p.Site.Lockdown {
		return
	}
	v, ok := g.sessions.View(device, time.Now())
	if !ok || !v.Known || !v.Expected(time.Now()).On {
		return
	}
	for _, id := range p.Devices[device].Targets {
		if t := p.Targets[id]; t.Kind == access.Door {
			g.lock(t)
		}
	}
}

// Views returns what is known of every device seen since the start, by name.
func (g *Gateway) Views() []session.View { return g.sessions.Views(time.Now()) }
