package admin

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/access"
)

// Grant is who may do what, where and when, in an answer.
type Grant struct {
	ID          access.ID     `json:"id"`
	Effect      string        `json:"effect" doc:"allow or deny"`
	Person      Ref           `json:"person,omitzero" doc:"exactly one of person, group and device"`
	Group       Ref           `json:"group,omitzero"`
	Device      Ref           `json:"device,omitzero"`
	Target      Ref           `json:"target,omitzero" doc:"exactly one of target and targetGroup"`
	TargetGroup Ref           `json:"targetGroup,omitzero"`
	Actions     []wire.Action `json:"actions,omitempty" doc:"none: all that fit the target"`
	Schedule    Ref           `json:"schedule,omitzero" doc:"none: always"`
	From        time.Time     `json:"from,omitzero" doc:"first instant"`
	Until       time.Time     `json:"until,omitzero" doc:"first instant after"`
	Created     time.Time     `json:"created"`
	Holders     []Ref         `json:"holders,omitempty" doc:"only where a target was asked for: the persons that it is for, alone or in the group, without the suspended"`
}

// NewGrant asks for a grant. Records are named by name or id.
type NewGrant struct {
	Effect      string     `json:"effect,omitempty" enum:"allow,deny" doc:"allow if left out"`
	Person      string     `json:"person,omitempty" doc:"exactly one of person, group and device"`
	Group       string     `json:"group,omitempty"`
	Device      string     `json:"device,omitempty" doc:"a switch"`
	Target      string     `json:"target,omitempty" doc:"exactly one of target and targetGroup"`
	TargetGroup string     `json:"targetGroup,omitempty"`
	Actions     []string   `json:"actions,omitempty" doc:"of unlock, lock, on, off, toggle, level; none: all that fit the target"`
	Schedule    string     `json:"schedule,omitempty" doc:"none: always"`
	From        *time.Time `json:"from,omitempty" doc:"first instant"`
	Until       *time.Time `json:"until,omitempty" doc:"first instant after"`
}

// GrantFilter narrows a list of grants.
type GrantFilter struct {
	Person string `query:"person" doc:"only grants to this person, alone or in a group, by name or id"`
	Target string `query:"target" doc:"only grants on this target, alone or in a group, by name or id"`
}

func (a *api) grantRoutes() {
	handle(a, toLook, http.MethodGet, "/v1/grants", "list-grants", "All grants, by who they are for",
		func(_ context.Context, in *GrantFilter) (*body[list[Grant]], error) {
			return a.listGrants(in)
		})
	handle(a, toManage, http.MethodPost, "/v1/grants", "add-grant",
		"Allow or deny something to a person, a group or a switch",
		func(ctx context.Context, in *struct{ Body NewGrant }) (*body[Grant], error) {
			return put(ctx, a, func(p *access.Policy) (access.Grant, error) { return a.newGrant(p, in.Body) },
				viewGrant)
		})
	handle(a, toLook, http.MethodGet, "/v1/grants/{ref}", "get-grant", "One grant, by id",
		func(_ context.Context, in *RefInput) (*body[Grant], error) {
			return show(a, in.Ref, findGrant, viewGrant)
		})
	handle(a, toManage, http.MethodDelete, "/v1/grants/{ref}", "remove-grant", "Remove a grant, by id",
		func(ctx context.Context, in *RefInput) (*body[Changed], error) {
			return remove(ctx, a, func(p *access.Policy) (access.Grant, error) {
				return findGrant(p,
					in.Ref)
			})
		})
}

func (a *api) listGrants(in *GrantFilter) (*body[list[Grant]], error) {
	p := a.Store.Snapshot()
	var subjects, places map[access.ID]bool // nil: all
	if in.Person != "" {
		person, err := findPerson(p, in.Person)
		if err != nil {
			return nil, err
		}
		subjects = withGroups(p, person.ID)
	}
	if in.Target != "" {
		target, err := findTarget(p, in.Target)
		if err != nil {
			return nil, err
		}
		places = withGroups(p, target.ID)
	}
	chosen := map[access.ID]*access.Grant{}
	for id, g := range p.Grants {
		if (subjects == nil || subjects[g.Subject]) && (places == nil || places[g.Target] ||
			places[g.TargetGroup]) {
			chosen[id] = g
		}
	}
	view := func(p *access.Policy, g *access.Grant) Grant {
		v := viewGrant(p, *g)
		if places != nil {
			v.Holders = holders(p, g, subjects)
		}
		return v
	}
	return listOf(viewAll(p, chosen, view, Grant.order)), nil
}

// withGroups returns the id of a person or a target and those of the groups that it is in.
func withGroups(p *access.Policy, id access.ID) map[access.ID]bool {
	out := map[access.ID]bool{id: true}
	for _, g := range p.Groups {
		if slices.Contains(g.Members, id) {
			out[g.ID] = true
		}
	}
	return out
}

// holders returns the persons for whom a grant is, by name. only, if not nil, says which may be
// among them.
func holders(p *access.Policy, g *access.Grant, only map[access.ID]bool) (out []Ref) {
	ids := []access.ID{g.Subject}
	switch g.SubjectKind {
	case access.SubjectDevice:
		return nil
	case access.SubjectGroup:
		ids = p.Groups[g.Subject].Members
	}
	for _, id := range ids {
		if !p.Persons[id].Suspended && (only == nil || only[id]) {
			out = append(out, personRef(p, id))
		}
	}
	slices.SortFunc(out, func(a, b Ref) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// order sorts grants by subject, then by place, then by id.
func (g Grant) order() string {
	return g.Person.Name + g.Group.Name + g.Device.Name + "\x00" + g.Target.Name + g.TargetGroup.Name +
		"\x00" + string(g.ID)
}

func oneOf(what string, set ...string) error {
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

func (a *api) newGrant(p *access.Policy, in NewGrant) (g access.Grant, err error) {
	if err := oneOf("person, group and device", in.Person, in.Group, in.Device); err != nil {
		return g, err
	}
	if err := oneOf("target and target group", in.Target, in.TargetGroup); err != nil {
		return g, err
	}
	g = access.Grant{ID: access.NewID(), Effect: access.Allow, Created: a.stamp()}
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
	g.From, g.Until = valueOf(in.From), valueOf(in.Until)
	return g, nil
}

func findSubject(p *access.Policy, in NewGrant) (access.SubjectKind, access.ID, error) {
	switch {
	case in.Person != "":
		r, err := findPerson(p, in.Person)
		return access.SubjectPerson, r.ID, err
	case in.Group != "":
		r, err := findGroup(p, in.Group)
		return access.SubjectGroup, r.ID, err
	}
	r, err := findDevice(p, in.Device)
	return access.SubjectDevice, r.ID, err
}

func parseAction(name string) (wire.Action, error) {
	action, err := wire.ParseAction(name)
	if err != nil {
		return 0, fmt.Errorf("action %q: %w: want unlock, lock, on, off, toggle or level",
			access.Shorten(name), access.ErrInvalid)
	}
	return action, nil
}

func valueOf(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

func viewGrant(p *access.Policy, g access.Grant) Grant {
	v := Grant{ID: g.ID, Effect: string(g.Effect), Actions: g.Actions, From: g.From, Until: g.Until,
		Created: g.Created}
	switch g.SubjectKind {
	case access.SubjectPerson:
		v.Person = personRef(p, g.Subject)
	case access.SubjectGroup:
		v.Group = groupRef(p, g.Subject)
	case access.SubjectDevice:
		v.Device = deviceRef(p, g.Subject)
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
