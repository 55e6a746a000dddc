package console

import (
	"cmp"
	"slices"
	"strings"

	"latchkey/gateway/access"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/console/page"
)

// Groups, grants and schedules: the rules between people and doors.

// grantForm holds the choices for a new grant.
type grantForm struct {
	Subject   string // person/ID, group/ID or device/ID
	Targets   []api.Target
	Groups    []api.Group // of targets
	Schedules []api.Schedule
}

// grantForm asks for the choices for a new grant, except the groups.
func (v *visit) grantForm(groups []api.Group) (f grantForm, err error) {
	if f.Targets, err = list(v, api.ListTargets, api.ListQuery{}); err != nil {
		return f, err
	}
	for _, g := range groups {
		if g.Of == string(access.OfTargets) {
			f.Groups = append(f.Groups, g)
		}
	}
	f.Schedules, err = list(v, api.ListSchedules, api.ListQuery{})
	return f, err
}

// addGrant makes a grant, and goes back to the page of the person or group that it is for.
func (v *visit) addGrant() error {
	in := api.NewGrant{Effect: v.field("effect"), Schedule: v.field("schedule")}
	kind, id, _ := strings.Cut(v.field("subject"), "/")
	page, back := (*visit).showPerson, addressOf("/people/", id)
	switch kind {
	case "person":
		in.Person = id
		v.r.SetPathValue("person", id)
	case "group":
		in.Group = id
		v.r.SetPathValue("group", id)
		page, back = (*visit).showGroup, addressOf("/groups/", id)
	case "device":
		in.Device = id
		v.r.SetPathValue("device", id)
		page, back = (*visit).showDevice, addressOf("/devices/", id)
	}
	place, id, _ := strings.Cut(v.field("place"), "/")
	if place == "group" {
		in.TargetGroup = id
	} else {
		in.Target = id
	}
	var err error
	if in.From, err = v.optionalTime("from"); err == nil {
		if in.Until, err = v.optionalTime("until"); err == nil {
			_, err = call(v, api.AddGrant, api.With(in))
		}
	}
	if err != nil {
		return v.showAgain(err, page)
	}
	return v.done(back, "Saved.")
}

func (v *visit) removeGrant() error {
	g, err := call(v, api.GetGrant, v.named("grant"))
	if err != nil {
		return err
	}
	done, err := call(v, api.RemoveGrant, v.named("grant"))
	if err != nil {
		return err
	}
	back := "/people/" + string(g.Person.ID)
	switch {
	case g.Group.ID != "":
		back = "/groups/" + string(g.Group.ID)
	case g.Device.ID != "":
		back = "/devices/" + string(g.Device.ID)
	}
	return v.done(back, "%s", changes(done))
}

type groupsPage struct {
	Groups []api.Group
	Grants map[access.ID]int
}

func (v *visit) showGroups() error {
	p := groupsPage{Grants: map[access.ID]int{}}
	var err error
	if p.Groups, err = list(v, api.ListGroups, api.ListQuery{}); err != nil {
		return err
	}
	grants, err := list(v, api.ListGrants, api.GrantFilter{})
	if err != nil {
		return err
	}
	for _, g := range grants {
		p.Grants[g.Group.ID]++
		p.Grants[g.TargetGroup.ID]++
	}
	return v.show(v.status(), "groups", p)
}

func (v *visit) addGroup() error {
	g, err := call(v, api.AddGroup, api.With(api.NewGroup{Name: v.field("name"), Of: v.field("of")}))
	if err != nil {
		return v.showAgain(err, (*visit).showGroups)
	}
	return v.done("/groups/"+string(g.ID), "%s is here now.", g.Name)
}

type groupPage struct {
	api.Group
	Others []api.Ref // persons or targets that could be added
	More   string    // says that the list is incomplete; empty: it is complete
	Grants []api.Grant
	Grant  grantForm
}

func (v *visit) showGroup() error {
	group, err := call(v, api.GetGroup, v.named("group"))
	if err != nil {
		return err
	}
	p := groupPage{Group: group}
	groups, err := list(v, api.ListGroups, api.ListQuery{})
	if err != nil {
		return err
	}
	if p.Grant, err = v.grantForm(groups); err != nil {
		return err
	}
	p.Grant.Subject = "group/" + string(p.ID)
	var all []api.Ref
	if p.Of == string(access.OfPersons) {
		persons, err := list(v, api.ListPersons, api.ListQuery{})
		if err != nil {
			return err
		}
		for _, r := range persons {
			all = append(all, api.Ref{ID: r.ID, Name: r.Name})
		}
	} else {
		for _, r := range p.Grant.Targets {
			all = append(all, api.Ref{ID: r.ID, Name: r.Name})
		}
	}
	in := map[access.ID]bool{}
	for _, m := range p.Members {
		in[m.ID] = true
	}
	all = slices.DeleteFunc(all, func(r api.Ref) bool { return in[r.ID] })
	p.Others, p.More = choices(all, "that could be added", func(api.Ref) bool { return false })
	grants, err := list(v, api.ListGrants, api.GrantFilter{})
	if err != nil {
		return err
	}
	for _, g := range grants {
		if g.Group.ID == p.ID || g.TargetGroup.ID == p.ID {
			p.Grants = append(p.Grants, g)
		}
	}
	return v.show(v.status(), "group", p)
}

func (v *visit) backToGroup() string { return addressOf("/groups/", v.r.PathValue("group")) }

func (v *visit) addMember() error {
	in := api.MemberInput{ByRef: v.named("group"), Member: cmp.Or(v.field("name"), v.field("member"))}
	if _, err := call(v, api.JoinGroup, in); err != nil {
		return v.showAgain(err, (*visit).showGroup)
	}
	return v.done(v.backToGroup(), "Saved.")
}

func (v *visit) removeMember() error {
	in := api.MemberInput{ByRef: v.named("group"), Member: v.r.PathValue("member")}
	if _, err := call(v, api.LeaveGroup, in); err != nil {
		return v.showAgain(err, (*visit).showGroup)
	}
	return v.done(v.backToGroup(), "Saved.")
}

func (v *visit) removeGroup() error {
	done, err := call(v, api.RemoveGroup, v.named("group"))
	if err != nil {
		return v.showAgain(err, (*visit).showGroup)
	}
	return v.done("/groups", "%s", changes(done))
}

type schedulesPage struct {
	Schedules []api.Schedule
	Grants    map[access.ID]int
	Weeks     map[access.ID]page.Week
}

func (v *visit) showSchedules() error {
	p := schedulesPage{Grants: map[access.ID]int{}, Weeks: map[access.ID]page.Week{}}
	var err error
	if p.Schedules, err = list(v, api.ListSchedules, api.ListQuery{}); err != nil {
		return err
	}
	grants, err := list(v, api.ListGrants, api.GrantFilter{})
	if err != nil {
		return err
	}
	for _, g := range grants {
		p.Grants[g.Schedule.ID]++
	}
	zone, err := v.zone()
	if err != nil {
		return err
	}
	for _, s := range p.Schedules {
		if p.Weeks[s.ID], err = page.NewWeek(s.Text, v.cfg.Now().In(zone)); err != nil {
			return err
		}
	}
	return v.show(v.status(), "schedules", p)
}

func (v *visit) addSchedule() error {
	in := api.NewSchedule{Name: v.field("name"), Text: v.field("text")}
	if _, err := call(v, api.AddSchedule, api.With(in)); err != nil {
		return v.showAgain(err, (*visit).showSchedules)
	}
	return v.done("/schedules", "Saved.")
}

func (v *visit) changeSchedule() error {
	change := api.ScheduleChange{Name: v.field("name"), Text: v.field("text")}
	if _, err := call(v, api.ChangeSchedule, api.AtWith(v.r.PathValue("schedule"), change)); err != nil {
		return v.showAgain(err, (*visit).showSchedules)
	}
	return v.done("/schedules", "Saved.")
}

func (v *visit) removeSchedule() error {
	done, err := call(v, api.RemoveSchedule, v.named("schedule"))
	if err != nil {
		return v.showAgain(err, (*visit).showSchedules)
	}
	return v.done("/schedules", "%s", changes(done))
}
