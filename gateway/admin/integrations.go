package admin

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/account"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/route"
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
			r := access.Integration{ID: access.NewID(), Name: in.Body.Name, Endpoint: newEndpoint(in.Body.Endpoint),
				Base: cmp.Or(in.Body.Base, "latchkey"), Prefix: cmp.Or(in.Body.Prefix, "homeassistant"),
				Created: a.makeStamp()}
			return putRecord(ctx, a, func(p *access.Policy) (access.Integration, error) {
				if len(p.Integrations) >= maxIntegrations {
					return r, fmt.Errorf("there are %d integrations: %w: remove one first", maxIntegrations,
						access.ErrConflict)
				}
				return r, checkBase(p, r)
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
				if in.Body.Endpoint != nil {
					r.Endpoint = newEndpoint(*in.Body.Endpoint)
				}
				if err == nil {
					err = checkBase(p, r)
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
			return none, wrapOutside(r.Name, a.Outside.TestIntegration(ctx, r))
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
				return []access.Change{{Put: access.PIN{Person: person.ID, Hash: hash, Created: a.makeStamp()}}}, err
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

// checkBase refuses a second integration with the same topics at the same broker: each would write
// over the other's.
func checkBase(p *access.Policy, r access.Integration) error {
	for _, other := range p.Integrations {
		if other.ID != r.ID && other.Base == r.Base && other.Endpoint.HostPort() == r.Endpoint.HostPort() {
			return fmt.Errorf("integration %s uses the topics %s/… of that broker: %w: choose another base",
				other.Name, r.Base, access.ErrConflict)
		}
	}
	return nil
}

func findIntegration(p *access.Policy, ref string) (access.Integration, error) {
	return findNamed("integration", ref, p.Integrations,
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

// checkCode refuses a grant to an integration that would open a door without a code, unless the
// caller says so, and one that asks for a second code: a request is checked against one.
func checkCode(p *access.Policy, in api.NewGrant, g access.Grant) error {
	coded := in.Code != "" || in.CodeOf != ""
	switch {
	case g.SubjectKind != access.SubjectIntegration:
		return nil // the policy refuses a code
	case g.Effect == access.Allow && slices.Contains(g.Actions, wire.Unlock) && !coded && !in.NoCode:
		return fmt.Errorf("grant: %w: whoever has the broker would open the door: ask for a code, or say no-code",
			access.ErrInvalid)
	case in.Code != "" && len(in.Code) < account.MinDoorCode && p.Targets[g.Target].Kind != access.Lamp:
		return fmt.Errorf("grant: %w: the code for a door, or for a group, has %d to 12 digits", access.ErrInvalid,
			account.MinDoorCode)
	case coded && in.NoCode:
		return fmt.Errorf("grant: %w: it has a code and says no-code: want one of the two", access.ErrInvalid)
	}
	if _, ok := p.PINs[g.CodeOf]; g.CodeOf != "" && !ok {
		return fmt.Errorf("grant: %w: %s has no PIN: set it first, with latchkey person pin", access.ErrInvalid,
			p.Persons[g.CodeOf].Name)
	}
	for _, other := range p.Grants {
		if coded && other.Subject == g.Subject && (!other.Code.IsZero() || other.CodeOf != "") &&
			other.Target == g.Target && other.TargetGroup == g.TargetGroup {
			return fmt.Errorf("grant: %w: there is one with a code already, %s: remove that first",
				access.ErrConflict, other.ID)
		}
	}
	return nil
}
