package admin

import (
	"cmp"
	"context"
	"fmt"

	"latchkey/gateway/access"
	"latchkey/gateway/account"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/route"
	"latchkey/gateway/admin/servers"
)

// maxIntegrations is how many integrations there may be. Each has a connection.
const maxIntegrations = 16

func (a *server) addIntegrationRoutes() {
	handle(a, api.ListIntegrations,
		func(_ context.Context, in *api.ListQuery) (api.List[api.Integration], error) {
			p := a.Store.Snapshot()
			return listRecords(a, p, p.Integrations, catalog[access.Integration, api.Integration]{
				draw: a.viewIntegration, key: func(v api.Integration) string { return v.Name }}, *in)
		})
	handle(a, api.AddIntegration,
		func(ctx context.Context, in *api.Body[api.NewIntegration]) (api.Integration, error) {
			r := access.Integration{ID: access.NewID(), Name: in.Body.Name, Base: cmp.Or(in.Body.Base, "latchkey"),
				Prefix: cmp.Or(in.Body.Prefix, "homeassistant"), Created: a.makeStamp()}
			var err error
			if r.Endpoint, err = servers.NewEndpoint(in.Body.Endpoint); err != nil {
				return api.Integration{}, err
			}
			return putRecord(ctx, a, func(p *access.Policy) (access.Integration, error) {
				if len(p.Integrations) >= maxIntegrations {
					return r, fmt.Errorf("there are %d integrations: %w: remove one first", maxIntegrations,
						access.ErrConflict)
				}
				return r, servers.CheckTopics(p, r)
			}, a.viewIntegration)
		})
	handle(a, api.GetIntegration,
		func(_ context.Context, in *api.ByRef) (api.Integration, error) {
			return showRecord(a, in.Ref, findIntegration, a.viewIntegration)
		})
	handle(a, api.ChangeIntegration,
		func(ctx context.Context, in *api.RefBody[api.IntegrationChange]) (api.Integration, error) {
			return putRecord(ctx, a, func(p *access.Policy) (access.Integration, error) {
				r, err := findIntegration(p, in.Ref)
				if in.Body.Paused != nil {
					r.Paused = reasonOfPause(ctx, *in.Body.Paused)
				}
				if err == nil && in.Body.Endpoint != nil {
					r.Endpoint, err = servers.NewEndpoint(*in.Body.Endpoint)
				}
				if err == nil {
					err = servers.CheckTopics(p, r)
				}
				return r, err
			}, a.viewIntegration)
		})
	handle(a, api.RemoveIntegration,
		func(ctx context.Context, in *api.ByRef) (api.Changed, error) {
			return removeRecord(ctx, a, in.Ref, findIntegration)
		})
	handle(a, api.TestIntegration,
		func(ctx context.Context, in *api.ByRef) (none api.Nothing, err error) {
			if a.Outside == nil {
				return none, route.ErrNoGateway
			}
			r, err := findIntegration(a.Store.Snapshot(), in.Ref)
			if err != nil {
				return none, err
			}
			return none, route.WrapOutside(r.Name, a.Outside.TestIntegration(ctx, r))
		})
}

func (a *server) addPINRoutes() {
	handle(a, api.SetPIN,
		func(ctx context.Context, in *api.RefBody[api.NewPIN]) (api.Changed, error) {
			hash, err := a.accounts.HashCode(ctx, in.Body.Code, account.MinDoorCode)
			if err != nil {
				return api.Changed{}, err
			}
			return a.makeChange(ctx, func(p *access.Policy) ([]access.Change, error) {
				person, err := findPerson(p, in.Ref)
				return []access.Change{{Put: access.PIN{Person: person.ID, Hash: hash,
					Created: a.makeStamp()}}}, err
			})
		})
	handle(a, api.RemovePIN,
		func(ctx context.Context, in *api.ByRef) (api.Changed, error) {
			return removeRecord(ctx, a, in.Ref, func(p *access.Policy, ref string) (access.PIN, error) {
				person, err := findPerson(p, ref)
				pin, ok := p.PINs[person.ID]
				if err == nil && !ok {
					err = fmt.Errorf("%s has no PIN: %w", person.Name, access.ErrNotFound)
				}
				return pin, err
			})
		})
}

func findIntegration(p *access.Policy, ref string) (access.Integration, error) {
	return route.Find("integration", ref, p.Integrations,
		func(name string) (access.Integration, bool) { return access.Integrations.ByName(p, name) })
}

func (a *server) viewIntegration(p *access.Policy, r access.Integration) api.Integration {
	v := api.ViewIntegration(p, r, a.Store.SiteID())
	if a.Outside != nil {
		if s, ok := a.Outside.IntegrationStatus(r.ID); ok {
			v.Status = &s
		}
	}
	return v
}
