package admin

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"latchkey/gateway/access"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/servers"
	"latchkey/gateway/text"
)

func (a *server) addGroupRoutes() {
	handle(a, api.ListGroups,
		func(_ context.Context, in *api.ListQuery) (api.List[api.Group], error) {
			p := a.Store.Snapshot()
			return listRecords(a, p, p.Groups, catalog[access.Group, api.Group]{draw: viewGroup,
				key:  func(v api.Group) string { return v.Name },
				text: func(v api.Group) []string { return append(namesOf(v.Members), v.Name) }}, *in)
		})
	handle(a, api.AddGroup,
		func(ctx context.Context, in *api.Body[api.NewGroup]) (api.Group, error) {
			return putRecord(ctx, a, func(p *access.Policy) (access.Group, error) {
				g := access.Group{ID: access.NewID(), Name: in.Body.Name,
					Of: access.GroupOf(cmp.Or(in.Body.Of, string(access.OfPersons))), Created: a.makeStamp()}
				for _, ref := range in.Body.Members {
					id, err := findMember(p, g, ref)
					if err != nil {
						return g, err
					}
					g.Members = append(g.Members, id)
				}
				return g, nil
			}, viewGroup)
		})
	handle(a, api.GetGroup,
		func(_ context.Context, in *api.ByRef) (api.Group, error) {
			return showRecord(a, in.Ref, findGroup, viewGroup)
		})
	handle(a, api.RemoveGroup,
		func(ctx context.Context, in *api.ByRef) (api.Changed, error) {
			return removeRecord(ctx, a, in.Ref, findGroup)
		})
	handle(a, api.JoinGroup,
		func(ctx context.Context, in *api.MemberInput) (api.Group, error) {
			return putRecord(ctx, a, func(p *access.Policy) (access.Group, error) {
				g, id, err := findMembership(p, in)
				if err != nil || slices.Contains(g.Members, id) {
					return g, err
				}
				g.Members = append(slices.Clone(g.Members), id)
				next, err := p.With(access.Change{Put: g})
				if err == nil && g.Of == access.OfTargets {
					err = servers.CheckMembers(next, g.ID)
				}
				return g, err
			}, viewGroup)
		})
	handle(a, api.LeaveGroup,
		func(ctx context.Context, in *api.MemberInput) (api.Group, error) {
			return putRecord(ctx, a, func(p *access.Policy) (access.Group, error) {
				g, id, err := findMembership(p, in)
				if err == nil && !slices.Contains(g.Members, id) {
					err = fmt.Errorf("%s is not in group %s: %w", text.Shorten(in.Member), g.Name,
						access.ErrNotFound)
				}
				g.Members = slices.DeleteFunc(slices.Clone(g.Members),
					func(m access.ID) bool { return m == id })
				return g, err
			}, viewGroup)
		})
}

func findMembership(p *access.Policy, in *api.MemberInput) (access.Group, access.ID, error) {
	g, err := findGroup(p, in.Ref)
	if err != nil {
		return g, "", err
	}
	id, err := findMember(p, g, in.Member)
	return g, id, err
}

func findMember(p *access.Policy, g access.Group, ref string) (access.ID, error) {
	if g.Of == access.OfTargets {
		t, err := findTarget(p, ref)
		return t.ID, err
	}
	r, err := findPerson(p, ref)
	return r.ID, err
}

func viewGroup(p *access.Policy, g access.Group) api.Group {
	ref := personRef
	if g.Of == access.OfTargets {
		ref = targetRef
	}
	v := api.Group{ID: g.ID, Name: g.Name, Of: string(g.Of), Members: makeRefs(p, g.Members, ref),
		Created: g.Created}
	slices.SortFunc(v.Members, func(x, y api.Ref) int { return strings.Compare(x.Name, y.Name) })
	return v
}

func sortGroups(p *access.Policy) []access.Group {
	return slices.SortedFunc(maps.Values(p.Groups),
		func(x, y access.Group) int { return strings.Compare(x.Name, y.Name) })
}

func listMemberships(p *access.Policy, of access.GroupOf, member access.ID) (out []api.Ref) {
	for _, g := range sortGroups(p) {
		if g.Of == of && slices.Contains(g.Members, member) {
			out = append(out, groupRef(p, g.ID))
		}
	}
	return out
}
