package admin

import (
	"context"

	"latchkey/gateway/access"
	"latchkey/gateway/admin/api"
)

func (a *server) alarmRoutes() {
	handle(a, api.ListAlarms,
		func(context.Context, *api.Nothing) (api.List[api.Alarm], error) {
			if a.Live == nil {
				return api.List[api.Alarm]{}, ErrNoGateway
			}
			return listOf(a.Live.Alarms()), nil
		})
	handle(a, api.AcknowledgeAlarm,
		func(ctx context.Context, in *api.AlarmInput) (api.Alarm, error) {
			if a.Live == nil {
				return api.Alarm{}, ErrNoGateway
			}
			return a.Live.Acknowledge(ctx, actorOf(ctx), in.Seq, in.Body.Remark)
		})
}

// viewTargets returns the view of a target, with what the gateway knows of it at this moment.
func (a *server) viewTargets() func(*access.Policy, access.Target) api.Target {
	return func(p *access.Policy, t access.Target) api.Target {
		v := viewTarget(p, t)
		if a.Live != nil && t.Kind == access.Door {
			s := a.Live.Door(t.ID)
			v.State = &s
			if s.MaxPulse > 0 {
				v.MaxPulse = s.MaxPulse.String()
			}
		}
		return v
	}
}
