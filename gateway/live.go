package gateway

import (
	"context"
	"slices"
	"strings"
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/admin"
	"latchkey/gateway/doctor"
	"latchkey/gateway/session"
)

// live is what the admin API asks of a running gateway: [admin.Live].
type live struct{ g *Gateway }

func (l live) Operate(ctx context.Context, actor string, target access.ID, action wire.Action, level uint8, at time.Time) (admin.Operated, error) {
	tl, err := l.g.operate(ctx, access.Attempt{Source: access.ByOperator, Operator: actor, Target: target, Action: action,
		Level: level, At: at})
	if err != nil {
		return admin.Operated{}, err
	}
	return admin.Operated{Seq: tl.Seq, Granted: tl.Decision.Granted, Reason: tl.Decision.Reason, Outcome: tl.Outcome,
		Holds: uint32(tl.Holds / time.Millisecond)}, nil
}

func (l live) Learn(ctx context.Context, reader access.ID) (access.CredentialID, string, error) {
	c, err := l.g.learners.wait(ctx, reader)
	return c.card, c.tail, err
}

func (l live) Acknowledge(ctx context.Context, actor string, seq uint64, remark string) (admin.Alarm, error) {
	return l.g.acknowledge(ctx, actor, seq, remark)
}

func (l live) ClockTrusted(now time.Time) (bool, string) { return l.g.clock.Trusted(now) }

func (l live) Latency() admin.Latency { return l.g.latency.Snapshot() }

func (l live) Handshakes() doctor.Handshakes {
	h := l.g.handshakes.Snapshot()
	h.Live, h.MaxLive = l.g.listener.Sessions(), l.g.cfg.MaxSessions
	return h
}

func (l live) Status() []admin.DeviceStatus {
	now := time.Now()
	views := l.g.sessions.Views(now)
	out := make([]admin.DeviceStatus, 0, len(views))
	for _, v := range views {
		out = append(out, l.status(v, now))
	}
	return out
}

func (l live) status(v session.View, now time.Time) admin.DeviceStatus {
	s := admin.DeviceStatus{Device: v.Device, Online: v.Online, Since: v.Since, Addr: v.Addr, Identity: v.Identity,
		LastHeard: v.LastHeard, Commanded: v.Commanded.Action, CommandedAt: v.CommandedAt, Known: v.Known && !unconfirmed(v, now), MaxPulse: uint32(v.MaxPulse / time.Millisecond),
		LateScans: l.g.late.Scans(v.Device), Refused: l.g.refusals.Last(v.Device)}
	if s.Known {
		st := v.Expected(now)
		s.State, s.StateAt = &admin.State{On: st.On, Level: st.Level, Left: st.Left}, v.StateAt
		if st.Contact != wire.ContactUnknown {
			s.State.Contact = st.Contact.String()
		}
	}
	for _, r := range l.g.reports.of(v.Device) {
		s.Reports = append(s.Reports, admin.Reading{Name: r.Name, Unit: r.Unit, Value: valueOf(r.Measurement), At: r.At, Late: r.Late})
	}
	slices.SortFunc(s.Reports, func(a, b admin.Reading) int { return strings.Compare(a.Name, b.Name) })
	return s
}

func valueOf(m wire.Measurement) any {
	switch m.Type {
	case wire.TextValue:
		return m.Text
	case wire.FlagValue:
		return m.Flag
	case wire.NumberValue:
		return m.Number
	}
	return m.Sum
}
