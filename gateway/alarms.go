package gateway

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/admin"
	"latchkey/gateway/door"
	"latchkey/gateway/store"
)

// An alarm is an event, and stays until another event says who has acknowledged it. Nothing else is kept of it: at the
// start the alarms that are open are found again by reading the newest events backwards. That stays cheap however long
// the chain is, because an alarm that is still open is told of again every restateAfter events, well within lookBack.
const (
	lookBack     = 4096 // events that are read at the start, policy changes not counted: they come without a gateway, too
	restateAfter = 1024
	// againAfter is the least time between events that say that an open alarm happens again.
	againAfter = 10 * time.Minute
	maxRemark  = 200 // bytes
)

// alarm is what is wrong at a door until somebody acknowledges it.
type alarm struct {
	seq    uint64 // of its event; 0: that could not be kept yet
	at     time.Time
	what   door.Headline
	device access.Named
	target access.Named // zero: the device stands at no door or lamp, or at several

	times     int // since the gateway's start
	last      time.Time
	told      time.Time // when the last event told of it
	mentioned uint64    // the newest event that tells of it
	busy      bool      // an event of it is being kept
}

// place is what can have one open alarm of each kind.
func (a *alarm) place() access.ID { return cmp.Or(a.target.ID, a.device.ID) }

func (a *alarm) view() admin.Alarm {
	return admin.Alarm{Seq: a.seq, At: a.at.UTC(), What: a.what, Words: a.what.Words(), Times: a.times, Last: a.last.UTC(),
		Device: admin.Ref{ID: a.device.ID, Name: a.device.Name}, Target: admin.Ref{ID: a.target.ID, Name: a.target.Name}}
}

// alarms are those that nobody has acknowledged, oldest first. The zero value is ready for use.
type alarms struct {
	mu   sync.Mutex
	open []*alarm      // guarded by mu
	due  atomic.Uint64 // from this event on one of them is to be told of again; 0: there is none
}

// all returns what is open, those of one place if it is not empty.
func (l *alarms) all(place access.ID) []admin.Alarm {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := []admin.Alarm{}
	for _, a := range l.open {
		if place == "" || a.place() == place {
			out = append(out, a.view())
		}
	}
	return out
}

// headlines are the kinds of alarms that are open at a place.
func (l *alarms) headlines(place access.ID) (out []door.Headline) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.open {
		if a.place() == place {
			out = append(out, a.what)
		}
	}
	return out
}

// keep drops the alarms of what is no longer in the policy.
func (l *alarms) keep(p *access.Policy) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = slices.DeleteFunc(l.open, func(a *alarm) bool {
		_, target := p.Targets[a.place()]
		_, device := p.Devices[a.place()]
		return !target && !device
	})
	l.plan()
}

// plan says when an alarm is to be told of again. The caller holds mu.
func (l *alarms) plan() {
	due := uint64(0)
	for _, a := range l.open {
		if at := a.mentioned + restateAfter; due == 0 || at < due {
			due = at
		}
	}
	l.due.Store(due)
}

// raise makes an alarm, or counts one that is open already: a contact that bounces makes one.
func (g *Gateway) raise(what door.Headline, device, target access.Named, now time.Time) {
	next := &alarm{at: now, what: what, device: device, target: target, times: 1, last: now, told: now, busy: true}
	l := &g.alarms
	l.mu.Lock()
	i := slices.IndexFunc(l.open, func(a *alarm) bool { return a.what == what && a.place() == next.place() })
	again := i >= 0
	times, tell := 0, true
	if again {
		a := l.open[i]
		a.times, a.last = a.times+1, now
		if times, tell = a.times, now.Sub(a.told) >= againAfter; tell {
			a.told = now
		}
	} else {
		l.open = append(l.open, next)
	}
	l.mu.Unlock()
	g.log.Warn("alarm", "device", device.Name, "target", target.Name, "alarm", string(what), "again", again)
	switch {
	case !again:
		g.background(func() { g.keepAlarm(next) })
	case tell:
		g.background(func() {
			ev := access.Event{Kind: access.EventReport, Device: device, Target: target,
				Detail: fmt.Sprintf("%s again, %d times since the alarm that nobody has acknowledged", alarmText[what], times)}
			g.feed.Note(ev)
		})
	}
}

// alarmText is what an event says of an alarm.
var alarmText = map[door.Headline]string{
	door.Forced: "door opened without being unlocked", door.Tampered: "tampered with",
}

// keepAlarm makes the event of an alarm, or tells of an old one again. It has been marked as busy.
func (g *Gateway) keepAlarm(a *alarm) {
	ev := access.Event{Kind: access.EventAlarm, Device: a.device, Target: a.target, Reason: access.Reason(a.what),
		Detail: alarmText[a.what], Cause: a.seq}
	if ev.Cause == 0 {
		ev.At = a.at
	}
	ev, err := g.recorded(ev)
	l := &g.alarms
	l.mu.Lock()
	defer l.mu.Unlock()
	a.busy = false
	if err != nil { // the watch tries again
		g.log.Error("alarm not kept", "device", a.device.Name, "err", err)
		return
	}
	a.seq, a.mentioned = cmp.Or(a.seq, ev.Seq), ev.Seq
	l.plan()
}

// restate tells again of open alarms that were last told of long ago, as of event seq, and of those that could not be kept.
func (g *Gateway) restate(seq uint64) {
	l := &g.alarms
	l.mu.Lock()
	var due []*alarm
	for _, a := range l.open {
		if !a.busy && (a.seq == 0 || a.mentioned+restateAfter <= seq) {
			a.busy = true
			due = append(due, a)
		}
	}
	l.mu.Unlock()
	for _, a := range due {
		if !g.background(func() { g.keepAlarm(a) }) {
			return // the gateway is being closed
		}
	}
}

// restateIfDue is restate for the way of a scan: it costs one comparison.
func (g *Gateway) restateIfDue(seq uint64) {
	if due := g.alarms.due.Load(); due != 0 && seq >= due {
		g.restate(seq)
	}
}

// acknowledge keeps who has taken note of an alarm, and ends it.
func (g *Gateway) acknowledge(ctx context.Context, actor string, seq uint64, remark string) (admin.Alarm, error) {
	if len(remark) > maxRemark {
		return admin.Alarm{}, fmt.Errorf("remark: %w: %d bytes: want %d at most", access.ErrInvalid, len(remark), maxRemark)
	}
	l := &g.alarms
	l.mu.Lock()
	i := slices.IndexFunc(l.open, func(a *alarm) bool { return a.seq == seq && seq != 0 })
	if i < 0 {
		l.mu.Unlock()
		return admin.Alarm{}, fmt.Errorf("alarm %d: %w: there is none, or somebody has acknowledged it", seq, access.ErrNotFound)
	}
	a := l.open[i]
	if a.busy {
		l.mu.Unlock()
		return admin.Alarm{}, fmt.Errorf("alarm %d: %w: somebody is acknowledging it now", seq, access.ErrConflict)
	}
	a.busy = true
	view := a.view()
	l.mu.Unlock()
	_, err := g.store.Record(ctx, access.Event{Kind: access.EventAcknowledged, Actor: actor, Cause: seq, Device: a.device,
		Target: a.target, Reason: access.Reason(a.what), Detail: remark})
	l.mu.Lock()
	defer l.mu.Unlock()
	if a.busy = false; err != nil {
		return admin.Alarm{}, fmt.Errorf("alarm %d: not acknowledged: %w", seq, err)
	}
	l.open = slices.DeleteFunc(l.open, func(o *alarm) bool { return o == a })
	l.plan()
	return view, nil
}

// openAlarms finds the alarms that nobody has acknowledged.
func openAlarms(ctx context.Context, st *store.Store) ([]*alarm, error) {
	const page = 512
	head, _ := st.Head()
	over, open := map[uint64]bool{}, map[uint64]*alarm{}
	looked := 0
	for end := head + 1; end > 1 && looked < lookBack; {
		from := end - min(end-1, page)
		events, err := st.Events(ctx, from, int(end-from))
		if err != nil {
			return nil, fmt.Errorf("gateway: open alarms: %w", err)
		}
		for _, ev := range slices.Backward(events) {
			if ev.Kind != access.EventPolicy {
				looked++
			}
			switch ev.Kind {
			case access.EventAcknowledged:
				over[ev.Cause] = true
			case access.EventAlarm:
				seq := cmp.Or(ev.Cause, ev.Seq)
				if !over[seq] && open[seq] == nil {
					open[seq] = &alarm{seq: seq, at: ev.At, what: door.Headline(ev.Reason), device: ev.Device, target: ev.Target,
						times: 1, last: ev.At, told: ev.At, mentioned: ev.Seq}
				}
			}
		}
		end = from
	}
	out := make([]*alarm, 0, len(open))
	for seq, a := range open {
		if events, err := st.Events(ctx, seq, 1); err == nil && len(events) == 1 { // it may be older than what was read
			a.at = events[0].At
		}
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b *alarm) int { return cmp.Compare(a.seq, b.seq) })
	return out, nil
}
