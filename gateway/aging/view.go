package aging

import (
	"context"
	"fmt"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/access/retention"
	"latchkey/gateway/access/sinks"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/doctor"
)

// View says how long events are kept, what was removed, and what keeps old events.
func (k *Keeper) View(ctx context.Context) (api.Retention, error) {
	p := k.cfg.Store.Snapshot()
	out := api.Retention{Days: retention.In(p).Days, First: k.cfg.Store.First(),
		Removed: k.cfg.Store.Removed(), Holds: []api.RetentionHold{}}
	k.mu.Lock()
	if k.days == out.Days && k.age.Old >= out.First {
		out.Old = k.age.Old
	}
	k.mu.Unlock()
	if out.Days == 0 {
		return out, nil
	}
	if k.cfg.ClockTrusted != nil {
		if trusted, why := k.cfg.ClockTrusted(k.cfg.Now()); !trusted {
			out.Holds = append(out.Holds, api.RetentionHold{Kind: api.HeldByClock, Why: why})
		}
	}
	if out.Old == 0 {
		return out, nil
	}
	if k.cfg.OldestAlarm != nil {
		if alarm := k.cfg.OldestAlarm(); alarm != 0 && alarm <= out.Old {
			out.Holds = append(out.Holds, api.RetentionHold{Kind: api.HeldByAlarm, First: alarm,
				Events: out.Old - alarm + 1})
		}
	}
	holds, err := k.cfg.Store.Holds(ctx)
	if err != nil {
		return out, err
	}
	for _, h := range holds {
		if r, ok := sinks.Kind.In(p)[h.Sink]; ok && h.Owed <= out.Old {
			first := max(h.Owed, out.First)
			out.Holds = append(out.Holds, api.RetentionHold{Kind: api.HeldBySink, Name: r.Name, Why: r.Paused,
				First: first, Events: out.Old - first + 1})
		}
	}
	return out, nil
}

// Set returns the changes with which events are kept for so many days; 0: for ever.
func Set(p *access.Policy, days int) []access.Change {
	if days != 0 {
		return []access.Change{{Put: retention.Setting{Days: days}}}
	}
	if old, ok := retention.Kind.In(p)[struct{}{}]; ok {
		return []access.Change{{Delete: old}}
	}
	return nil
}

// Release returns the changes with which a sink does without the old events that it has not taken.
// The request must say how many these are at most. v is of the same moment as the policy.
func Release(p *access.Policy, v api.Retention, in api.Release) ([]access.Change, error) {
	r, ok := sinks.Kind.ByName(p, in.Sink)
	if !ok {
		r, ok = sinks.Kind.In(p)[access.ID(in.Sink)]
	}
	if !ok {
		return nil, fmt.Errorf("sink %q: %w", in.Sink, access.ErrNotFound)
	}
	for _, h := range v.Holds {
		if h.Kind != api.HeldBySink || h.Name != r.Name {
			continue
		}
		if in.Lose < h.Events {
			return nil, fmt.Errorf("sink %s: %w: it has not taken %d events that are old enough to be removed "+
				"(%d to %d). It never gets them if you say that it may lose %d", r.Name, access.ErrConflict, h.Events,
				h.First, v.Old, h.Events)
		}
		r.From = v.Old + 1
		return []access.Change{{Put: r}}, nil
	}
	return nil, fmt.Errorf("sink %s: %w: it keeps no old events", r.Name, access.ErrConflict)
}

// Findings returns what keeps old events from being removed, and what to do.
func Findings(v api.Retention) (found []doctor.Finding) {
	for _, h := range v.Holds {
		f := doctor.Finding{Code: doctor.CodeRetention}
		switch h.Kind {
		case api.HeldBySink:
			f.Text = fmt.Sprintf("events are kept for longer than %s, because sink %s has not taken %d of them",
				retention.CountDays(v.Days), h.Name, h.Events)
			f.Do = fmt.Sprintf("see why it does not take them: latchkey sink show %s; or let it lose them: "+
				"latchkey retention release %s --lose %d", h.Name, h.Name, h.Events)
		case api.HeldByAlarm:
			f.Text = fmt.Sprintf("events are kept for longer than %s, because nobody has acknowledged the alarm of "+
				"event %d", retention.CountDays(v.Days), h.First)
			f.Do = "acknowledge it: latchkey alarm list"
		default:
			continue // the clock has a finding of its own
		}
		found = append(found, f)
	}
	return found
}

// Describe says how long events are kept, and why old ones are still there, in lines for people.
func Describe(v api.Retention, zone *time.Location) []string {
	if v.Days == 0 {
		lines := []string{"events are kept for ever"}
		if !v.Removed.IsZero() {
			lines = append(lines, v.Removed.Sentence(zone))
		}
		return lines
	}
	lines := []string{"events are kept for " + retention.CountDays(v.Days) + "; older ones are removed while " +
		"the gateway runs"}
	if !v.Removed.IsZero() {
		lines = append(lines, v.Removed.Sentence(zone))
	}
	for _, h := range v.Holds {
		if h.Kind == api.HeldByClock {
			lines = append(lines, "nothing is removed now, because the clock is not trusted: "+h.Why)
		}
	}
	for _, f := range Findings(v) {
		lines = append(lines, f.Text, "  → "+f.Do)
	}
	return lines
}
