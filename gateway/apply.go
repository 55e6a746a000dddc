package gateway

import (
	"context"
	"time"

	"latchkey/coapres"
	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/session"
)

// Apply changes the policy as the store does and then makes the sessions follow: those of a revoked key or a removed device end at
// once, and a lockdown ends running pulses.
func (g *Gateway) Apply(ctx context.Context, actor string, changes ...access.Change) (uint64, error) {
	before := g.store.Snapshot()
	seq, err := g.store.Apply(ctx, actor, changes...)
	if err != nil {
		return seq, err
	}
	after := g.store.Snapshot()
	g.endRevoked(after)
	if after.Site.Lockdown && !before.Site.Lockdown {
		g.lockAll(after, seq)
	}
	for id := range before.Devices {
		if _, ok := after.Devices[id]; !ok {
			g.reports.forget(string(id))
		}
	}
	return seq, nil
}

// endRevoked ends the sessions whose key opens nothing any more, or whose device is not what it was when they began.
func (g *Gateway) endRevoked(p *access.Policy) {
	gone := g.sessions.EndIf(func(peer *coapres.Peer) bool {
		k, ok := p.Keys[peer.Key]
		d := p.Devices[access.ID(peer.Device)]
		return !ok || !k.State.Usable() || d.Kind != peer.Kind || d.Name != peer.Name
	})
	for _, peer := range gone {
		g.log.Info("session ended", "device", peer.Name, "addr", peer.Addr)
		g.background(func() { g.sessionEvent(peer, "ended: its key was revoked, or its device changed") })
	}
}

// lockAll commands every door's lock to lock now. The command's id is the event of the lockdown.
func (g *Gateway) lockAll(p *access.Policy, seq uint64) {
	intent := time.Now()
	for _, t := range p.Targets {
		actuator, ok := p.Actuator(t.ID)
		if t.Kind != access.Door || !ok {
			continue
		}
		g.background(func() {
			_, err := g.sessions.Command(context.Background(), string(actuator.ID), wire.Command{ID: seq, Action: wire.Lock}, intent)
			ev := access.Event{Kind: access.EventReceipt, Cause: seq, Action: wire.Lock, Outcome: outcomeOf(err),
				Device: access.Named{ID: actuator.ID, Name: actuator.Name}, Target: access.Named{ID: t.ID, Name: t.Name}}
			if err != nil {
				ev.Detail = err.Error()
			}
			if err := g.record(ev); err != nil {
				g.log.Error("outcome not kept", "target", t.Name, "event", seq, "err", err)
			}
		})
	}
}

// Views returns what is known of every device seen since the start, by name.
func (g *Gateway) Views() []session.View { return g.sessions.Views(time.Now()) }
