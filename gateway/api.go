package gateway

import (
	"context"
	"net/http"
	"slices"

	"latchkey/gateway/access"
	"latchkey/gateway/account"
	"latchkey/gateway/admin"
	"latchkey/gateway/doctor"
	"latchkey/gateway/observe"
	"latchkey/gateway/outside"
	"latchkey/gateway/store"
	"latchkey/gateway/website"
)

// policyStore is the store for the admin API. Changes go through the gateway, so that it can update
// the sessions.
type policyStore struct {
	*store.Store
	g *Gateway
}

func (s policyStore) Apply(ctx context.Context, actor string, changes ...access.Change) (uint64, error) {
	return s.g.Apply(ctx, actor, changes...)
}

// AdminHandler returns the admin API of this gateway for callers in this process. They may do
// everything, unless the context of a request names another principal.
func (g *Gateway) AdminHandler() http.Handler {
	own := account.As(account.NewUnixPeer("admin"), g.api)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if account.PrincipalOf(r.Context()).Kind != account.Nobody {
			g.api.ServeHTTP(w, r)
			return
		}
		own.ServeHTTP(w, r)
	})
}

func newAPI(g *Gateway) *admin.Handler {
	var site account.Website
	if g.console != nil {
		site = account.Website{SignIns: g.store, Hosts: g.console.certificate.Hosts(), Local: g.cfg.Console.Local,
			BrowserKey: g.store.BrowserSecret(), Peer: website.PeerOf, Now: g.cfg.Console.Now}
	}
	return admin.New(admin.Config{Store: policyStore{g.store, g}, Live: live{g}, Outside: g.outside, Aging: g.aging,
		Feed: g.feed, Log: g.log, Metrics: g.metrics.Handler(), Version: g.cfg.Version,
		ConsoleURL: g.ConsoleURL(), GatewayAddrs: g.cfg.Announce, Website: site,
		Confinement: g.console.confinement, Health: g.checkHealth, Rollback: g.rollback.Findings})
}

// sources returns the functions that read the figures for Prometheus.
func (g *Gateway) sources() observe.Sources {
	return observe.Sources{Listener: g.listener, Store: g.store, MaxSessions: g.cfg.MaxSessions,
		Online: g.sessions.Online, Alarms: func() int { return len(g.doors.Alarms("")) }, Doors: g.doors.CountDoors,
		ClockTrusted: g.clock.Trusted, Causes: doctor.CauseNames(), Reasons: doctor.HealthCodes,
		Failures: func(cause string) uint64 { return g.nodes.Handshakes.Count(doctor.Cause(cause)) },
		NotReady: func(reason string) bool {
			return slices.ContainsFunc(g.checkHealth(), func(f doctor.Finding) bool { return f.Code == reason })
		}}
}

// checkHealth returns the reasons why a card that may enter would not be let in now.
func (g *Gateway) checkHealth() []doctor.Finding { return doctor.CheckHealth(g.store, g.clock.Trusted) }

func newOutside(g *Gateway) *outside.Outside {
	return outside.New(outside.Config{Store: g.store, Feed: g.feed, Apply: g.Apply, Doors: g.doors,
		Sessions: g.sessions, ClockTrusted: g.clock.Trusted, Log: g.log, Version: g.cfg.Version,
		URL: g.ConsoleURL(),
		Operate: func(_ context.Context, a access.Attempt) error {
			_, err := g.operate(a)
			return err
		}})
}
