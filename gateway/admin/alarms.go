package admin

import (
	"context"
	"fmt"

	"latchkey/gateway/access"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/route"
)

// timeOrder formats times so that their texts sort like the times.
const timeOrder = "2006-01-02T15:04:05.000000000"

func (a *server) addAlarmRoutes() {
	handle(a, api.ListAlarms,
		func(_ context.Context, in *api.ListQuery) (api.List[api.Alarm], error) {
			if a.Live == nil {
				return api.List[api.Alarm]{}, route.ErrNoGateway
			}
			alarms := a.Live.Alarms()
			entries := make([]route.Entry[api.Alarm], len(alarms))
			for i, v := range alarms {
				key := fmt.Sprintf("%s %020d %s", v.At.UTC().Format(timeOrder), v.Seq, v.Device.ID)
				entries[i] = route.Entry[api.Alarm]{Key: key, View: v}
			}
			entries, next, err := route.SelectEntries(entries,
				func(v api.Alarm) []string { return []string{v.Words, v.Target.Name, v.Device.Name} }, *in)
			out := api.List[api.Alarm]{Items: []api.Alarm{}, Next: next}
			for _, e := range entries {
				out.Items = append(out.Items, e.View)
			}
			return out, err
		})
	handle(a, api.AcknowledgeAlarm,
		func(ctx context.Context, in *api.AlarmInput) (api.Alarm, error) {
			if a.Live == nil {
				return api.Alarm{}, route.ErrNoGateway
			}
			return a.Live.Acknowledge(ctx, actorOf(ctx), in.Seq, in.Body.Remark)
		})
}

// viewTargets returns the function that draws a target, with what the gateway knows about it at
// this moment.
func (a *server) viewTargets() func(*access.Policy, access.Target) api.Target {
	return func(p *access.Policy, t access.Target) api.Target {
		v := viewTarget(p, t)
		if a.Live != nil && t.Kind == access.Door {
			s := a.Live.Door(t.ID)
			s.Alarms = notNil(s.Alarms)
			v.State = &s
			if s.MaxPulse > 0 {
				v.MaxPulse = s.MaxPulse.String()
			}
		}
		return v
	}
}
