package doorwatch

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"latchkey/coapres"
	"latchkey/gateway/access"
	"latchkey/gateway/audit"
	"latchkey/gateway/door"
)

// An alarm is an event. It stays open until another event says who has acknowledged it. There is no
// other record of it: at the start the gateway finds open alarms by reading the newest events
// backwards. That is fast however long the chain is, because the event of an open alarm is repeated
// every restateAfter events, well within lookBack.
const (
	// lookBack is how many events are read at the start. Changes of the policy do not count,
	// because they also come while no gateway runs.
	lookBack     = 4096
	restateAfter = 1024
	// againAfter is the least time between events about an open alarm that happens again.
	againAfter = 10 * time.Minute
	maxRemark  = 200              // bytes
	keepWithin = 10 * time.Second // for an alarm's event, even if its session has ended
)

// Alarm is an alarm that nobody has acknowledged.
type Alarm struct {
	Seq    uint64 // of its event; 0: it could not be written yet
	At     time.Time
	What   door.Headline
	Device audit.Named
	Target audit.Named // zero: the device stands at no door or lamp, or at several
	Times  int         // how often it happened since the gateway's start
	Last   time.Time
}

// place returns the target, or else the device. A place has at most one open alarm of each kind.
func (a *Alarm) place() access.ID { return cmp.Or(a.Target.ID, a.Device.ID) }

// alarm is an open alarm.
type alarm struct {
	Alarm
	told      time.Time // when the last event about it was made
	mentioned uint64    // the newest event about it
	busy      bool      // an event about it is being written
}

// alarms holds the alarms that nobody has acknowledged, oldest first. The zero value is ready for
// use.
type alarms struct {
	mu   sync.Mutex
	open []*alarm      // guarded by mu
	due  atomic.Uint64 // from this event on the event of one of them must be repeated; 0: none
}

// Alarms returns the alarms that nobody has acknowledged, oldest first. If place is not empty it
// returns only those of that place.
func (w *Watch) Alarms(place access.ID) (out []Alarm) {
	l := &w.alarms
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.open {
		if place == "" || a.place() == place {
			out = append(out, a.Alarm)
		}
	}
	return out
}

// OldestAlarm returns the number of the first event of an alarm that nobody has acknowledged, or 0.
func (w *Watch) OldestAlarm() (seq uint64) {
	l := &w.alarms
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.open {
		if a.Seq != 0 && (seq == 0 || a.Seq < seq) {
			seq = a.Seq
		}
	}
	return seq
}

// headlines returns the kinds of alarms that are open at a place.
func (l *alarms) headlines(place access.ID) (out []door.Headline) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.open {
		if a.place() == place {
			out = append(out, a.What)
		}
	}
	return out
}

// ForgetRemoved drops the alarms of places that are no longer in the policy.
func (w *Watch) ForgetRemoved(p *access.Policy) {
	l := &w.alarms
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = slices.DeleteFunc(l.open, func(a *alarm) bool {
		_, target := p.Targets[a.place()]
		_, device := p.Devices[a.place()]
		return !target && !device
	})
	l.plan()
}

// plan sets due: when the event of an alarm must be repeated. The caller holds mu.
func (l *alarms) plan() {
	due := uint64(0)
	for _, a := range l.open {
		if at := a.mentioned + restateAfter; due == 0 || at < due {
			due = at
		}
	}
	l.due.Store(due)
}

// raise opens an alarm, or counts one that is already open: a contact that bounces makes one alarm.
func (w *Watch) raise(what door.Headline, p *coapres.Peer, now time.Time) {
	next := &alarm{Alarm: Alarm{At: now, What: what, Device: named(p), Target: w.place(p.Device), Times: 1,
		Last: now}, told: now, busy: true}
	times, tell := w.alarms.raise(next, now)
	again := times > 1
	w.Log.Warn("alarm", "device", p.Name, "target", next.Target.Name, "alarm", string(what), "again", again)
	switch {
	case !again:
		w.Go(func() { w.keepAlarm(next) })
	case tell:
		w.Go(func() {
			detail := fmt.Sprintf("%s again, %d times since the alarm that nobody has acknowledged",
				alarmText[what], times)
			w.Feed.Note(audit.Event{Kind: audit.EventReport, Device: next.Device, Target: next.Target,
				Detail: detail})
		})
	}
}

// raise counts an alarm, and opens it if no such alarm is open. It returns how often the alarm
// happened, and whether to make an event.
func (l *alarms) raise(next *alarm, now time.Time) (times int, tell bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	same := func(a *alarm) bool { return a.What == next.What && a.place() == next.place() }
	i := slices.IndexFunc(l.open, same)
	if i < 0 {
		l.open = append(l.open, next)
		return 1, true
	}
	a := l.open[i]
	a.Times, a.Last = a.Times+1, now
	if tell = now.Sub(a.told) >= againAfter; tell {
		a.told = now
	}
	return a.Times, tell
}

// alarmText is the text of an alarm's event.
var alarmText = map[door.Headline]string{
	door.Forced: "door opened without being unlocked", door.Tampered: "tampered with",
}

// keepAlarm makes or repeats the event of an alarm. The caller has marked the alarm as busy.
func (w *Watch) keepAlarm(a *alarm) {
	ev := audit.Event{Kind: audit.EventAlarm, Device: a.Device, Target: a.Target, Cause: a.Seq,
		Reason: access.Reason(a.What), Detail: alarmText[a.What]}
	if ev.Cause == 0 {
		ev.At = a.At
	}
	ctx, cancel := context.WithTimeout(context.Background(), keepWithin)
	defer cancel()
	ev, err := w.Store.Record(ctx, ev)
	l := &w.alarms
	l.mu.Lock()
	defer l.mu.Unlock()
	a.busy = false
	if err != nil { // Restate tries again
		w.Log.Error("alarm not kept", "device", a.Device.Name, "err", err)
		return
	}
	a.Seq, a.mentioned = cmp.Or(a.Seq, ev.Seq), ev.Seq
	l.plan()
}

// Restate repeats the events of open alarms if the last ones are long ago, as of event seq. It also
// writes those that could not be written before.
func (w *Watch) Restate(seq uint64) {
	l := &w.alarms
	l.mu.Lock()
	var due []*alarm
	for _, a := range l.open {
		if !a.busy && (a.Seq == 0 || a.mentioned+restateAfter <= seq) {
			a.busy = true
			due = append(due, a)
		}
	}
	l.mu.Unlock()
	for _, a := range due {
		if !w.Go(func() { w.keepAlarm(a) }) {
			return // the gateway is being closed
		}
	}
}

// RestateIfDue is a fast Restate for every scan: if nothing is due it costs one comparison.
func (w *Watch) RestateIfDue(seq uint64) {
	if due := w.alarms.due.Load(); due != 0 && seq >= due {
		w.Restate(seq)
	}
}

// Acknowledge records who has acknowledged an alarm, and ends it. It fails with
// [access.ErrNotFound] if there is no such alarm.
func (w *Watch) Acknowledge(ctx context.Context, actor string, seq uint64, remark string) (Alarm, error) {
	if len(remark) > maxRemark {
		return Alarm{}, fmt.Errorf("remark: %w: %d bytes: want %d at most",
			access.ErrInvalid, len(remark), maxRemark)
	}
	l := &w.alarms
	l.mu.Lock()
	i := slices.IndexFunc(l.open, func(a *alarm) bool { return a.Seq == seq && seq != 0 })
	if i < 0 {
		l.mu.Unlock()
		return Alarm{}, fmt.Errorf("alarm %d: %w: there is none, or somebody has acknowledged it",
			seq, access.ErrNotFound)
	}
	a := l.open[i]
	if a.busy {
		l.mu.Unlock()
		return Alarm{}, fmt.Errorf("alarm %d: %w: somebody is acknowledging it now", seq, access.ErrConflict)
	}
	a.busy = true
	acknowledged := a.Alarm
	l.mu.Unlock()
	_, err := w.Store.Record(ctx, audit.Event{Kind: audit.EventAcknowledged, Actor: actor, Cause: seq,
		Device: a.Device, Target: a.Target, Reason: access.Reason(a.What), Detail: remark})
	l.mu.Lock()
	defer l.mu.Unlock()
	if a.busy = false; err != nil {
		return Alarm{}, fmt.Errorf("alarm %d: not acknowledged: %w", seq, err)
	}
	l.open = slices.DeleteFunc(l.open, func(o *alarm) bool { return o == a })
	l.plan()
	return acknowledged, nil
}

// findOpenAlarms finds the alarms that nobody has acknowledged.
func findOpenAlarms(ctx context.Context, st Store) ([]*alarm, error) {
	const page = 512
	head, _ := st.Head()
	over, open := map[uint64]bool{}, map[uint64]*alarm{}
	looked := 0
	for end := head + 1; end > 1 && looked < lookBack; {
		from := end - min(end-1, page)
		events, err := st.Events(ctx, from, int(end-from))
		if err != nil {
			return nil, fmt.Errorf("doorwatch: open alarms: %w", err)
		}
		first := from
		if len(events) > 0 {
			first = events[0].Seq
		}
		for _, ev := range slices.Backward(events) {
			if ev.Seq >= end { // the first of the page were removed, so others came in their place
				continue
			}
			if ev.Kind != audit.EventPolicy {
				looked++
			}
			switch ev.Kind {
			case audit.EventAcknowledged:
				over[ev.Cause] = true
			case audit.EventAlarm:
				seq := cmp.Or(ev.Cause, ev.Seq)
				if !over[seq] && open[seq] == nil {
					open[seq] = &alarm{Alarm: Alarm{Seq: seq, At: ev.At, What: door.Headline(ev.Reason),
						Device: ev.Device,
						Target: ev.Target, Times: 1, Last: ev.At}, told: ev.At, mentioned: ev.Seq}
				}
			}
		}
		if end = from; first > from {
			break // older events were removed
		}
	}
	out := make([]*alarm, 0, len(open))
	for seq, a := range open {
		// It may be older than the events that were read.
		if events, err := st.Events(ctx, seq, 1); err == nil && len(events) == 1 && events[0].Seq == seq {
			a.At = events[0].At
		}
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b *alarm) int { return cmp.Compare(a.Seq, b.Seq) })
	return out, nil
}
