package gateway

import (
	"context"
	"errors"
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/doctor"
	"latchkey/gateway/doorwatch"
	"latchkey/gateway/session"
)

// live implements [admin.Live] for a running gateway.
type live struct{ g *Gateway }

func (l live) Operate(
	_ context.Context, actor string, target access.ID, action wire.Action, level uint8, at time.Time,
) (api.Operated, error) {
	tl, err := l.g.operate(access.Attempt{Source: access.ByOperator, Operator: actor, Target: target,
		Action: action, Level: level, At: at})
	if err != nil {
		return api.Operated{}, err
	}
	return api.Operated{Seq: tl.Seq, Granted: tl.Decision.Granted, Reason: tl.Decision.Reason,
		Outcome: tl.Outcome, Holds: uint32(tl.Holds / time.Millisecond)}, nil
}

func (l live) Learn(ctx context.Context, reader access.ID) (access.CredentialID, string, error) {
	c, err := l.g.learners.Wait(ctx, reader)
	return c.ID, c.Tail, err
}

func (l live) Acknowledge(ctx context.Context, actor string, seq uint64, remark string) (api.Alarm, error) {
	a, err := l.g.doors.Acknowledge(ctx, actor, seq, remark)
	if errors.Is(err, access.ErrNotFound) {
		if ev, e := l.g.rollback.Acknowledge(ctx, actor, seq, remark); !errors.Is(e, access.ErrNotFound) {
			return api.Alarm{Seq: seq, At: ev.At.UTC(), What: api.Rollback, Words: "an older copy", Device: ev.Device}, e
		}
	}
	if err != nil {
		return api.Alarm{}, err
	}
	return viewAlarm(a), nil
}

func (l live) Alarms() []api.Alarm { return l.alarms("") }

// alarms returns the open alarms of one place, or all if place is empty.
func (l live) alarms(place access.ID) []api.Alarm {
	out := []api.Alarm{}
	for _, a := range l.g.doors.Alarms(place) {
		out = append(out, viewAlarm(a))
	}
	return out
}

func viewAlarm(a doorwatch.Alarm) api.Alarm {
	return api.Alarm{Seq: a.Seq, At: a.At.UTC(), What: a.What, Words: a.What.Words(), Device: a.Device,
		Target: a.Target, Times: a.Times, Last: a.Last.UTC()}
}

func (l live) Door(target access.ID) api.DoorState {
	p, now := l.g.store.Snapshot(), time.Now()
	s := l.g.doors.Door(p, target, now)
	out := api.DoorState{Headline: s.Headline, Words: s.Headline.Words(), Now: s.Now, Until: s.Until,
		Last: s.Last, LastAt: s.LastAt, Alarms: l.alarms(target)}
	if lock, ok := p.Actuator(target); ok {
		if v, ok := l.g.sessions.View(lock.ID, now); ok {
			out.MaxPulse = v.MaxPulse
		}
	}
	return out
}

func (l live) ClockTrusted(now time.Time) (bool, string) { return l.g.clock.Trusted(now) }

func (l live) Latency() api.Latency { return l.g.latency.Snapshot() }

func (l live) Handshakes() doctor.Handshakes {
	h := l.g.nodes.Handshakes.Snapshot()
	h.Live, h.MaxLive = l.g.listener.Sessions(), l.g.cfg.MaxSessions
	return h
}

func (l live) Status() []api.DeviceStatus {
	now := time.Now()
	views := l.g.sessions.Views(now)
	out := make([]api.DeviceStatus, 0, len(views))
	for _, v := range views {
		out = append(out, l.status(v, now))
	}
	return out
}

func (l live) status(v session.View, now time.Time) api.DeviceStatus {
	s := api.DeviceStatus{Device: v.Device, Online: v.Online, Since: v.Since, Addr: v.Addr,
		Identity: v.Identity, LastHeard: v.LastHeard, Commanded: v.Commanded.Action, CommandedAt: v.CommandedAt,
		Known: v.Known && !v.Unconfirmed(now), MaxPulse: uint32(v.MaxPulse / time.Millisecond),
		LateScans: l.g.nodes.Late.Scans(v.Device), Refused: l.g.nodes.Refusals.Last(v.Device)}
	if s.Known {
		st := v.Expected(now)
		s.State, s.StateAt = &api.State{On: st.On, Level: st.Level, Left: st.Left}, v.StateAt
		if st.Contact != wire.ContactUnknown {
			s.State.Contact = st.Contact.String()
		}
	}
	for _, r := range l.g.doors.Readings(v.Device) {
		s.Reports = append(s.Reports, api.Reading{Name: r.Name, Unit: r.Unit, Value: r.Value(),
			At: r.At, Late: r.Late})
	}
	return s
}
