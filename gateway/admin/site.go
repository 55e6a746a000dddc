package admin

import (
	"context"
	"net/http"
	"time"

	"latchkey/gateway/access"
)

// Site is what holds for the whole site.
type Site struct {
	Zone        string `json:"zone" doc:"IANA time zone, for schedules" example:"Europe/Berlin"`
	Lockdown    bool   `json:"lockdown" doc:"doors stay shut for everybody"`
	TimeTrusted uint64 `json:"timeTrusted,omitempty" doc:"events up to this one no longer count against the clock"`
}

// SiteChange changes what holds for the whole site.
type SiteChange struct {
	Zone string `json:"zone" example:"Europe/Berlin"`
}

// Lockdown starts or ends one.
type Lockdown struct {
	On bool `json:"on"`
}

// Time is the gateway's clock.
type Time struct {
	Now     time.Time `json:"now"`
	Zone    string    `json:"zone"`
	Trusted bool      `json:"trusted" doc:"false: what depends on the time denies"`
	Why     string    `json:"why,omitempty" doc:"why it is not trusted"`
}

func (a *api) siteRoutes() {
	handle(a, toLook, http.MethodGet, "/v1/site", "get-site", "Time zone and lockdown",
		func(context.Context, *struct{}) (*body[Site], error) {
			return answer(viewSite(a.Store.Snapshot(), a.Store.Snapshot().Site), nil)
		})
	handle(a, toManage, http.MethodPatch, "/v1/site", "change-site", "Set the time zone",
		func(ctx context.Context, in *struct{ Body SiteChange }) (*body[Site], error) {
			return a.changeSite(ctx, func(s *access.Site) { s.Zone = in.Body.Zone })
		})
	handleCases(a, []demandCase{{true, toSecure}, {false, toManage}}, "on",
		func(in *struct{ Body Lockdown }) any { return in.Body.On },
		http.MethodPut, "/v1/lockdown", "set-lockdown", "Shut every door for everybody, or end that",
		func(ctx context.Context, in *struct{ Body Lockdown }) (*body[Site], error) {
			return a.changeSite(ctx, func(s *access.Site) { s.Lockdown = in.Body.On })
		})
	handle(a, toLook, http.MethodGet, "/v1/time", "get-time",
		"The clock of the running gateway, and whether it is trusted",
		func(context.Context, *struct{}) (*body[Time], error) {
			if a.Live == nil {
				return nil, ErrNoGateway
			}
			now := a.Now()
			trusted, why := a.Live.ClockTrusted(now)
			return answer(Time{Now: now.UTC(), Zone: a.Store.Snapshot().Site.Zone, Trusted: trusted,
				Why: why}, nil)
		})
	handle(a, toManage, http.MethodPost, "/v1/time/trust", "trust-time",
		"Take the clock as right although events so far lie in its future",
		func(ctx context.Context, _ *struct{}) (*body[Site], error) {
			return a.changeSite(ctx, func(s *access.Site) { s.TimeTrusted, _ = a.Store.Head() })
		})
}

func (a *api) changeSite(ctx context.Context, set func(*access.Site)) (*body[Site], error) {
	return put(ctx, a, func(p *access.Policy) (access.Site, error) {
		s := p.Site
		set(&s)
		return s, nil
	}, viewSite)
}

func viewSite(_ *access.Policy, s access.Site) Site {
	return Site{Zone: s.Zone, Lockdown: s.Lockdown, TimeTrusted: s.TimeTrusted}
}
