package admin

import (
	"context"

	"latchkey/gateway/access"
	"latchkey/gateway/admin/api"
)

func (a *server) addPersonRoutes() {
	handle(a, api.ListPersons,
		func(_ context.Context, in *api.ListQuery) (api.List[api.Person], error) {
			p := a.Store.Snapshot()
			return listRecords(a, p, p.Persons, catalog[access.Person, api.Person]{draw: viewPersons(p),
				key:  func(v api.Person) string { return v.Name },
				text: func(v api.Person) []string { return append(namesOf(v.Groups), v.Name) }}, *in)
		})
	handle(a, api.AddPerson,
		func(ctx context.Context, in *api.Body[api.NewPerson]) (api.Person, error) {
			return putRecord(ctx, a, func(*access.Policy) (access.Person, error) {
				return access.Person{ID: access.NewID(), Name: in.Body.Name, Created: a.makeStamp()}, nil
			}, viewPerson)
		})
	handle(a, api.GetPerson,
		func(_ context.Context, in *api.ByRef) (api.Person, error) {
			return showRecord(a, in.Ref, findPerson, viewPerson)
		})
	handle(a, api.ChangePerson,
		func(ctx context.Context, in *api.RefBody[api.PersonChange]) (api.Person, error) {
			return putRecord(ctx, a, func(p *access.Policy) (access.Person, error) {
				r, err := findPerson(p, in.Ref)
				if in.Body.Name != "" {
					r.Name = in.Body.Name
				}
				if in.Body.Suspended != nil {
					r.Suspended = *in.Body.Suspended
				}
				return r, err
			}, viewPerson)
		})
	handle(a, api.RemovePerson,
		func(ctx context.Context, in *api.ByRef) (api.Changed, error) {
			return removeRecord(ctx, a, in.Ref, findPerson)
		})
}

func viewPerson(p *access.Policy, r access.Person) api.Person {
	v := api.Person{ID: r.ID, Name: r.Name, Suspended: r.Suspended, PIN: hasPIN(p, r.ID), Created: r.Created}
	for _, c := range p.Credentials {
		if c.Person == r.ID && c.Status == access.CardActive {
			v.Cards++
		}
	}
	v.Groups = listMemberships(p, access.OfPersons, r.ID)
	return v
}

// viewPersons returns the function that draws a person. It counts all cards in one pass, as one
// pass for each person is too slow for thousands.
func viewPersons(p *access.Policy) func(*access.Policy, access.Person) api.Person {
	cards := map[access.ID]int{}
	for _, c := range p.Credentials {
		if c.Status == access.CardActive {
			cards[c.Person]++
		}
	}
	groups := map[access.ID][]api.Ref{}
	for _, g := range sortGroups(p) {
		if g.Of == access.OfPersons {
			for _, m := range g.Members {
				groups[m] = append(groups[m], groupRef(p, g.ID))
			}
		}
	}
	return func(_ *access.Policy, r access.Person) api.Person {
		return api.Person{ID: r.ID, Name: r.Name, Suspended: r.Suspended, Cards: cards[r.ID],
			PIN: hasPIN(p, r.ID), Groups: groups[r.ID], Created: r.Created}
	}
}

func hasPIN(p *access.Policy, person access.ID) bool { _, ok := p.PINs[person]; return ok }
