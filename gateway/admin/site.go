package admin

import (
	"context"

	"latchkey/gateway/access"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/route"
)

func (a *server) addSiteRoutes() {
	handle(a, api.GetSite,
		func(context.Context, *api.Nothing) (api.Site, error) {
			p := a.Store.Snapshot()
			return viewRecord(a, p, p.Site, viewSite)
		})
	handle(a, api.ChangeSite,
		func(ctx context.Context, in *api.Body[api.SiteChange]) (api.Site, error) {
			return a.changeSite(ctx, func(s *access.Site) { s.Zone = in.Body.Zone })
		})
	route.HandleCases(a.Router, api.SetLockdown, func(in *api.Body[api.Lockdown]) any { return in.Body.On },
		func(ctx context.Context, in *api.Body[api.Lockdown]) (api.Site, error) {
			return a.changeSite(ctx, func(s *access.Site) { s.Lockdown = in.Body.On })
		})
	handle(a, api.GetTime,
		func(context.Context, *api.Nothing) (api.Time, error) {
			if a.Live == nil {
				return api.Time{}, route.ErrNoGateway
			}
			now := a.Now()
			trusted, why := a.Live.ClockTrusted(now)
			return api.Time{Now: now.UTC(), Zone: a.Store.Snapshot().Site.Zone, Trusted: trusted,
				Why: why}, nil
		})
	handle(a, api.TrustTime,
		func(ctx context.Context, _ *api.Nothing) (api.Site, error) {
			return a.changeSite(ctx, func(s *access.Site) { s.TimeTrusted, _ = a.Store.Head() })
		})
}

func (a *server) changeSite(ctx context.Context, set func(*access.Site)) (api.Site, error) {
	return putRecord(ctx, a, func(p *access.Policy) (access.Site, error) {
		s := p.Site
		set(&s)
		return s, nil
	}, viewSite)
}

func viewSite(_ *access.Policy, s access.Site) api.Site {
	return api.Site{Zone: s.Zone, Lockdown: s.Lockdown, TimeTrusted: s.TimeTrusted}
}
