package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/route"
	"latchkey/gateway/doctor"
)

func (a *server) addLiveRoutes() {
	route.HandleCases(a.Router, api.Operate, func(in *api.Body[api.Order]) any { return in.Body.Action },
		func(ctx context.Context, in *api.Body[api.Order]) (api.Operated, error) {
			return a.operate(ctx, in.Body, route.ArrivedAt(ctx))
		})
	handle(a, api.GetStatus,
		func(context.Context, *api.Nothing) (api.Status, error) {
			return a.makeStatus()
		})
	handle(a, api.GetHealth,
		func(context.Context, *api.Nothing) (api.Health, error) {
			if a.Health != nil {
				if found := a.Health(); len(found) > 0 {
					return api.Health{}, route.Unavailable{Err: errors.New(sick(found))}
				}
			}
			return api.Health{Status: "ok", Gateway: a.Live != nil, Version: a.Version}, nil
		})
}

// sick returns, in a sentence, why a valid card would not be let in.
func sick(found []doctor.Finding) string {
	texts := make([]string, len(found))
	for i, f := range found {
		texts[i] = f.Text
	}
	return strings.Join(texts, "; ")
}

func (a *server) operate(ctx context.Context, in api.Order, at time.Time) (api.Operated, error) {
	if a.Live == nil {
		return api.Operated{}, route.ErrNoGateway
	}
	t, err := findTarget(a.Store.Snapshot(), in.Target)
	if err != nil {
		return api.Operated{}, err
	}
	action, err := parseAction(in.Action)
	if err != nil {
		return api.Operated{}, err
	}
	if !t.Kind.Fits(action) {
		return api.Operated{}, fmt.Errorf("%s is a %s: %w: %v does not fit it", t.Name, t.Kind,
			access.ErrInvalid, action)
	}
	done, err := a.Live.Operate(ctx, actorOf(ctx), t.ID, action, in.Level, at)
	if holds := time.Duration(done.Holds) * time.Millisecond; holds > 0 && holds+pulseSlack < t.Pulse {
		done.Note = fmt.Sprintf("its lock lets go after %v, not %v: it holds no longer",
			holds.Round(pulseSlack/5), t.Pulse)
	}
	return done, err
}

// pulseSlack is how much shorter than the pulse the time may be that a lock reports as left, since
// its answer takes time.
const pulseSlack = 500 * time.Millisecond

func (a *server) makeStatus() (api.Status, error) {
	if a.Live == nil {
		return api.Status{}, route.ErrNoGateway
	}
	now, site := a.Now(), a.Store.Snapshot().Site
	trusted, why := a.Live.ClockTrusted(now)
	s := api.Status{Version: a.Version, Lockdown: site.Lockdown, Devices: a.Live.Status(),
		Alarms: a.Live.Alarms(),
		Time:   api.Time{Now: now.UTC(), Zone: site.Zone, Trusted: trusted, Why: why}}
	p := a.Store.Snapshot()
	all, err := listRecords(a, p, p.Targets, catalog[access.Target, api.Target]{draw: a.viewTargets(),
		key: func(v api.Target) string { return v.Name }}, api.ListQuery{})
	s.Doors = slices.DeleteFunc(all.Items, func(t api.Target) bool { return t.State == nil })
	s.Devices, s.Alarms = notNil(s.Devices), notNil(s.Alarms)
	return s, err
}
