package admin

import (
	"context"

	"latchkey/gateway/access"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/route"
	"latchkey/gateway/aging"
)

func (a *server) addRetentionRoutes() {
	view := func(ctx context.Context, _ *api.Nothing) (api.Retention, error) {
		if a.Aging == nil {
			return api.Retention{}, route.ErrNoGateway
		}
		return a.Aging.View(ctx)
	}
	change := func(ctx context.Context, from func(*access.Policy) ([]access.Change, error)) (api.Retention, error) {
		if _, err := a.makeChange(ctx, from); err != nil {
			return api.Retention{}, err
		}
		return view(ctx, nil)
	}
	handle(a, api.GetRetention, view)
	handle(a, api.SetRetention,
		func(ctx context.Context, in *api.Body[api.RetentionChange]) (api.Retention, error) {
			return change(ctx, func(p *access.Policy) ([]access.Change, error) {
				return aging.Set(p, in.Body.Days), nil
			})
		})
	handle(a, api.ReleaseEvents,
		func(ctx context.Context, in *api.Body[api.Release]) (api.Retention, error) {
			return change(ctx, func(p *access.Policy) ([]access.Change, error) {
				v, err := view(ctx, nil)
				if err != nil {
					return nil, err
				}
				return aging.Release(p, v, in.Body)
			})
		})
}
