package admin

import (
	"context"

	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/route"
)

func (a *server) addLatencyRoutes() {
	handle(a, api.GetLatency,
		func(context.Context, *api.Nothing) (api.Latency, error) {
			if a.Live == nil {
				return api.Latency{}, route.ErrNoGateway
			}
			l := a.Live.Latency()
			l.Durable.Curve, l.Receipt.Curve = notNil(l.Durable.Curve), notNil(l.Receipt.Curve)
			return l, nil
		})
}
