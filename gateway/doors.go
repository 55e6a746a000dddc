package gateway

import (
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/admin"
	"latchkey/gateway/door"
	"latchkey/gateway/session"
)

// doorState says what a door is now, of all that is known of it.
func (g *Gateway) doorState(p *access.Policy, target access.ID, now time.Time) door.State {
	f := door.Facts{At: now, Alarms: g.alarms.headlines(target)}
	if lock, ok := p.Actuator(target); ok {
		f.Lock.Fitted = true
		if v, ok := g.sessions.View(lock.ID, now); ok {
			f.Lock = lockOf(v)
		}
	}
	return door.Of(f)
}

// lockOf is what a session tells of a lock.
func lockOf(v session.View) door.Lock {
	l := door.Lock{Fitted: true, Online: v.Online, Command: v.Commanded.Action, CommandAt: v.CommandedAt,
		Known: v.Known, Said: v.State, SaidAt: v.StateAt, Contact: v.Contact}
	if v.Online && v.ContactAt.Before(v.Since) {
		l.Contact = wire.ContactUnknown // it has not said so in this session
	}
	return l
}

// unconfirmed tells whether a pulse should be over, and its device has not said so yet.
func unconfirmed(v session.View, now time.Time) bool { return v.State.On && !v.Expected(now).On }

// holds is how long a pulse lasts: no longer than its lock holds, if that has said so.
func (g *Gateway) holds(t access.Target, lock access.ID) time.Duration {
	if v, ok := g.sessions.View(lock, time.Now()); ok && v.MaxPulse > 0 {
		return min(t.Pulse, v.MaxPulse)
	}
	return t.Pulse
}

func (l live) Door(target access.ID) admin.DoorState {
	p := l.g.store.Snapshot()
	s := l.g.doorState(p, target, time.Now())
	out := admin.DoorState{Headline: s.Headline, Words: s.Headline.Words(), Now: s.Now, Until: s.Until, Last: s.Last, LastAt: s.LastAt,
		Alarms: l.g.alarms.all(target)}
	if lock, ok := p.Actuator(target); ok {
		if v, ok := l.g.sessions.View(lock.ID, time.Now()); ok {
			out.MaxPulse = v.MaxPulse
		}
	}
	return out
}

func (l live) Alarms() []admin.Alarm { return l.g.alarms.all("") }

// doorsThatAre counts the doors with a headline.
func (g *Gateway) doorsThatAre(h door.Headline) (n int) {
	p, now := g.store.Snapshot(), time.Now()
	for id, t := range p.Targets {
		if t.Kind == access.Door && g.doorState(p, id, now).Headline == h {
			n++
		}
	}
	return n
}
