package admin

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/servers"
	"latchkey/gateway/text"
	"latchkey/keys"
)

func (a *server) addGrantRoutes() {
	handle(a, api.ListGrants,
		func(_ context.Context, in *api.GrantFilter) (api.List[api.Grant], error) {
			return a.listGrants(in)
		})
	handle(a, api.AddGrant,
		func(ctx context.Context, in *api.Body[api.NewGrant]) (api.Grant, error) {
			var code keys.Hidden // the hash is made before others wait for this change
			if in.Body.Code != "" {
				var err error
				if code, err = a.accounts.HashCode(ctx, in.Body.Code, 0); err != nil {
					return api.Grant{}, err
				}
			}
			return putRecord(ctx, a, func(p *access.Policy) (access.Grant, error) {
				g, err := a.newGrant(p, in.Body)
				if err == nil {
					g.Code, err = code, servers.CheckCode(p, in.Body, g)
				}
				return g, err
			}, viewGrant)
		})
	handle(a, api.GetGrant,
		func(_ context.Context, in *api.ByRef) (api.Grant, error) {
			return showRecord(a, in.Ref, findGrant, viewGrant)
		})
	handle(a, api.RemoveGrant,
		func(ctx context.Context, in *api.ByRef) (api.Changed, error) {
			return removeRecord(ctx, a, in.Ref, findGrant)
		})
}

func (a *server) listGrants(in *api.GrantFilter) (api.List[api.Grant], error) {
	p := a.Store.Snapshot()
	var subjects, places map[access.ID]bool // nil: all
	if in.Person != "" {
		person, err := findPerson(p, in.Person)
		if err != nil {
			return api.List[api.Grant]{}, err
		}
		subjects = withGroups(p, person.ID)
	}
	if in.Integration != "" {
		r, err := findIntegration(p, in.Integration)
		if err != nil {
			return api.List[api.Grant]{}, err
		}
		subjects = map[access.ID]bool{r.ID: true}
	}
	if in.Target != "" {
		target, err := findTarget(p, in.Target)
		if err != nil {
			return api.List[api.Grant]{}, err
		}
		places = withGroups(p, target.ID)
	}
	chosen := map[access.ID]access.Grant{}
	for id, g := range p.Grants {
		if (subjects == nil || subjects[g.Subject]) && (places == nil || places[g.Target] ||
			places[g.TargetGroup]) {
			chosen[id] = *g
		}
	}
	draw := func(p *access.Policy, g access.Grant) api.Grant {
		v := viewGrant(p, g)
		if places != nil {
			v.Holders = holders(p, &g, subjects)
		}
		return v
	}
	return listRecords(a, p, chosen, catalog[access.Grant, api.Grant]{draw: draw, key: orderOf,
		text: func(v api.Grant) []string {
			return []string{v.Person.Name, v.Group.Name, v.Device.Name, v.Integration.Name, v.Target.Name,
				v.TargetGroup.Name, v.Schedule.Name}
		}}, in.ListQuery)
}

// withGroups returns the id of a person or a target, and the ids of the groups that hold it.
func withGroups(p *access.Policy, id access.ID) map[access.ID]bool {
	out := map[access.ID]bool{id: true}
	for _, g := range p.Groups {
		if slices.Contains(g.Members, id) {
			out[g.ID] = true
		}
	}
	return out
}

// holders returns the persons that a grant is for, by name. If only is not nil, other persons are
// left out.
func holders(p *access.Policy, g *access.Grant, only map[access.ID]bool) (out []api.Ref) {
	ids := []access.ID{g.Subject}
	switch g.SubjectKind {
	case access.SubjectDevice, access.SubjectIntegration:
		return nil
	case access.SubjectGroup:
		ids = p.Groups[g.Subject].Members
	}
	for _, id := range ids {
		if !p.Persons[id].Suspended && (only == nil || only[id]) {
			out = append(out, personRef(p, id))
		}
	}
	slices.SortFunc(out, func(a, b api.Ref) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// orderOf returns the sort key of a grant: subject, then place, then id.
func orderOf(g api.Grant) string {
	return g.Person.Name + g.Group.Name + g.Device.Name + g.Integration.Name + "\x00" + g.Target.Name +
		g.TargetGroup.Name + "\x00" + string(g.ID)
}

func checkOneOf(what string, set ...string) error {
	n := 0
	for _, s := range set {
		if s != "" {
			n++
		}
	}
	if n != 1 {
		return fmt.Errorf("grant: %w: want exactly one of %s", access.ErrInvalid, what)
	}
	return nil
}

func (a *server) newGrant(p *access.Policy, in api.NewGrant) (g access.Grant, err error) {
	if err := checkOneOf("person, group, device and integration", in.Person, in.Group, in.Device,
		in.Integration); err != nil {
		return g, err
	}
	if err := checkOneOf("target and target group", in.Target, in.TargetGroup); err != nil {
		return g, err
	}
	g = access.Grant{ID: access.NewID(), Effect: access.Allow, Created: a.makeStamp()}
	if in.Effect != "" {
		g.Effect = access.Effect(in.Effect)
	}
	if g.SubjectKind, g.Subject, err = findSubject(p, in); err != nil {
		return g, err
	}
	if in.Target != "" {
		t, err := findTarget(p, in.Target)
		if err != nil {
			return g, err
		}
		g.Target = t.ID
	} else {
		t, err := findGroup(p, in.TargetGroup)
		if err != nil {
			return g, err
		}
		g.TargetGroup = t.ID
	}
	for _, name := range in.Actions {
		action, err := parseAction(name)
		if err != nil {
			return g, err
		}
		g.Actions = append(g.Actions, action)
	}
	if in.Schedule != "" {
		s, err := findSchedule(p, in.Schedule)
		if err != nil {
			return g, err
		}
		g.Schedule = s.ID
	}
	if in.CodeOf != "" {
		person, err := findPerson(p, in.CodeOf)
		if err != nil {
			return g, err
		}
		g.CodeOf = person.ID
	}
	g.From, g.Until = valueOf(in.From), valueOf(in.Until)
	return g, nil
}

func findSubject(p *access.Policy, in api.NewGrant) (access.SubjectKind, access.ID, error) {
	switch {
	case in.Person != "":
		r, err := findPerson(p, in.Person)
		return access.SubjectPerson, r.ID, err
	case in.Group != "":
		r, err := findGroup(p, in.Group)
		return access.SubjectGroup, r.ID, err
	case in.Integration != "":
		r, err := findIntegration(p, in.Integration)
		return access.SubjectIntegration, r.ID, err
	}
	r, err := findDevice(p, in.Device)
	return access.SubjectDevice, r.ID, err
}

func parseAction(name string) (wire.Action, error) {
	action, err := wire.ParseAction(name)
	if err != nil {
		return 0, fmt.Errorf("action %q: %w: want unlock, lock, on, off, toggle or level",
			text.Shorten(name), access.ErrInvalid)
	}
	return action, nil
}

func valueOf(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

func viewGrant(p *access.Policy, g access.Grant) api.Grant {
	v := api.Grant{ID: g.ID, Effect: string(g.Effect), From: g.From, Until: g.Until,
		Created: g.Created, Notes: servers.NotesOn(p, g)}
	for _, action := range g.Actions {
		v.Actions = append(v.Actions, action.String())
	}
	switch g.SubjectKind {
	case access.SubjectPerson:
		v.Person = personRef(p, g.Subject)
	case access.SubjectGroup:
		v.Group = groupRef(p, g.Subject)
	case access.SubjectDevice:
		v.Device = deviceRef(p, g.Subject)
	case access.SubjectIntegration:
		v.Integration = api.Ref{ID: g.Subject, Name: p.Integrations[g.Subject].Name}
	}
	if v.Code = !g.Code.IsZero(); g.CodeOf != "" {
		v.CodeOf = personRef(p, g.CodeOf)
	}
	if g.Target != "" {
		v.Target = targetRef(p, g.Target)
	} else {
		v.TargetGroup = groupRef(p, g.TargetGroup)
	}
	if g.Schedule != "" {
		v.Schedule = scheduleRef(p, g.Schedule)
	}
	return v
}
