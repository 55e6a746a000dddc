package admin

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"latchkey/gateway/access"
)

// Group is a set of persons or of targets in an answer.
type Group struct {
	ID      access.ID `json:"id"`
	Name    string    `json:"name"`
	Of      string    `json:"of" doc:"persons or targets"`
	Members []Ref     `json:"members"`
	Created time.Time `json:"created"`
}

// NewGroup asks for a group.
type NewGroup struct {
	Name    string   `json:"name" doc:"1 to 64 of a-z 0-9 . _ -"`
	Of      string   `json:"of,omitempty" enum:"persons,targets" doc:"persons if left out"`
	Members []string `json:"members,omitempty" doc:"names or ids"`
}

// MemberInput names a member of a group in the path.
type MemberInput struct {
	RefInput
	Member string `path:"member" doc:"name or id of the person or target"`
}

func (a *api) groupRoutes() {
	handle(a, toLook, http.MethodGet, "/v1/groups", "list-groups", "All groups, by name",
		func(context.Context, *struct{}) (*body[list[Group]], error) {
			p := a.Store.Snapshot()
			return listOf(viewAll(p, p.Groups, viewGroup, func(v Group) string { return v.Name })), nil
		})
	handle(a, toManage, http.MethodPost, "/v1/groups", "add-group", "Add a group",
		func(ctx context.Context, in *struct{ Body NewGroup }) (*body[Group], error) {
			return put(ctx, a, func(p *access.Policy) (access.Group, error) {
				g := access.Group{ID: access.NewID(), Name: in.Body.Name,
					Of: access.GroupOf(cmp.Or(in.Body.Of, string(access.OfPersons))), Created: a.stamp()}
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
	handle(a, toLook, http.MethodGet, "/v1/groups/{ref}", "get-group", "One group",
		func(_ context.Context, in *RefInput) (*body[Group], error) {
			return show(a, in.Ref, findGroup, viewGroup)
		})
	handle(a, toManage, http.MethodDelete, "/v1/groups/{ref}", "remove-group",
		"Remove a group with the grants to and on it",
		func(ctx context.Context, in *RefInput) (*body[Changed], error) {
			return remove(ctx, a, func(p *access.Policy) (access.Group, error) {
				return findGroup(p,
					in.Ref)
			})
		})
	handle(a, toManage, http.MethodPut, "/v1/groups/{ref}/members/{member}", "join-group",
		"Put a person or target into a group",
		func(ctx context.Context, in *MemberInput) (*body[Group], error) {
			return put(ctx, a, func(p *access.Policy) (access.Group, error) {
				g, id, err := findMembership(p, in)
				if !slices.Contains(g.Members, id) {
					g.Members = append(slices.Clone(g.Members), id)
				}
				return g, err
			}, viewGroup)
		})
	handle(a, toManage, http.MethodDelete, "/v1/groups/{ref}/members/{member}", "leave-group",
		"Take a person or target out of a group",
		func(ctx context.Context, in *MemberInput) (*body[Group], error) {
			return put(ctx, a, func(p *access.Policy) (access.Group, error) {
				g, id, err := findMembership(p, in)
				if err == nil && !slices.Contains(g.Members, id) {
					err = fmt.Errorf("%s is not in group %s: %w", access.Shorten(in.Member), g.Name,
						access.ErrNotFound)
				}
				g.Members = slices.DeleteFunc(slices.Clone(g.Members),
					func(m access.ID) bool { return m == id })
				return g, err
			}, viewGroup)
		})
}

func findMembership(p *access.Policy, in *MemberInput) (access.Group, access.ID, error) {
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

func viewGroup(p *access.Policy, g access.Group) Group {
	ref := personRef
	if g.Of == access.OfTargets {
		ref = targetRef
	}
	v := Group{ID: g.ID, Name: g.Name, Of: string(g.Of), Members: refs(p, g.Members, ref), Created: g.Created}
	slices.SortFunc(v.Members, func(x, y Ref) int { return strings.Compare(x.Name, y.Name) })
	return v
}

func sortedGroups(p *access.Policy) []access.Group {
	return slices.SortedFunc(maps.Values(p.Groups),
		func(x, y access.Group) int { return strings.Compare(x.Name, y.Name) })
}

func memberships(p *access.Policy, of access.GroupOf, member access.ID) (out []Ref) {
	for _, g := range sortedGroups(p) {
		if g.Of == of && slices.Contains(g.Members, member) {
			out = append(out, groupRef(p, g.ID))
		}
	}
	return out
}
