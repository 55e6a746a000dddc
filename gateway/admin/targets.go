package admin

import (
	"context"
	"fmt"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/text"
)

const defaultPulse = 3 * time.Second

func (a *server) addTargetRoutes() {
	handle(a, api.ListTargets,
		func(_ context.Context, in *api.ListQuery) (api.List[api.Target], error) {
			p := a.Store.Snapshot()
			return listRecords(a, p, p.Targets, catalog[access.Target, api.Target]{draw: a.viewTargets(),
				key: func(v api.Target) string { return v.Name }}, *in)
		})
	handle(a, api.AddTarget,
		func(ctx context.Context, in *api.Body[api.NewTarget]) (api.Target, error) {
			return putRecord(ctx, a,
				func(*access.Policy) (access.Target, error) { return a.newTarget(in.Body) }, a.viewTargets())
		})
	handle(a, api.GetTarget,
		func(_ context.Context, in *api.ByRef) (api.Target, error) {
			return showRecord(a, in.Ref, findTarget, a.viewTargets())
		})
	handle(a, api.ChangeTarget,
		func(ctx context.Context, in *api.RefBody[api.TargetChange]) (api.Target, error) {
			return putRecord(ctx, a, func(p *access.Policy) (access.Target, error) {
				t, err := findTarget(p, in.Ref)
				if err != nil {
					return t, err
				}
				if in.Body.Name != "" {
					t.Name = in.Body.Name
				}
				if in.Body.Pulse != "" {
					if t.Pulse, err = parsePulse(in.Body.Pulse); err == nil {
						err = a.checkPulse(p, t)
					}
				}
				return t, err
			}, a.viewTargets())
		})
	handle(a, api.RemoveTarget,
		func(ctx context.Context, in *api.ByRef) (api.Changed, error) {
			return removeRecord(ctx, a, in.Ref, findTarget)
		})
}

func (a *server) newTarget(in api.NewTarget) (access.Target, error) {
	t := access.Target{ID: access.NewID(), Name: in.Name, Kind: access.TargetKind(in.Kind),
		Created: a.makeStamp()}
	if t.Kind == access.Door && in.Pulse == "" {
		t.Pulse = defaultPulse
	}
	if in.Pulse == "" {
		return t, nil
	}
	var err error
	t.Pulse, err = parsePulse(in.Pulse)
	return t, err
}

func parsePulse(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("pulse %q: %w: want a length of time like 3s or 500ms", text.Shorten(s),
			access.ErrInvalid)
	}
	return d, nil
}

// checkPulse refuses a pulse that is longer than the door's lock has reported as its longest.
func (a *server) checkPulse(p *access.Policy, t access.Target) error {
	lock, ok := p.Actuator(t.ID)
	if a.Live == nil || !ok {
		return nil
	}
	if limit := a.Live.Door(t.ID).MaxPulse; limit > 0 && t.Pulse > limit {
		return fmt.Errorf("pulse %v: %w: the lock %s holds %v at the most", t.Pulse, access.ErrInvalid,
			lock.Name, limit)
	}
	return nil
}

func viewTarget(p *access.Policy, t access.Target) api.Target {
	v := api.Target{ID: t.ID, Name: t.Name, Kind: string(t.Kind), Created: t.Created}
	if t.Pulse != 0 {
		v.Pulse = t.Pulse.String()
	}
	if d, ok := p.Actuator(t.ID); ok {
		v.Actuator = deviceRef(p, d.ID)
	}
	return v
}
