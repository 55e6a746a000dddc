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

// makeGrantForm asks for the choices for a new grant to a subject, except the groups.
func (v *visit) makeGrantForm(subject string, groups []api.Group) (f page.GrantForm, err error) {
	targets, err := list(v, api.ListTargets, api.ListQuery{})
	if err != nil {
		return f, err
	}
	schedules, err := list(v, api.ListSchedules, api.ListQuery{})
	return page.NewGrantForm(subject, targets, groups, schedules), err
}

// addGrant makes a grant, and goes back to the page of the person or group that it is for.
func (v *visit) addGrant() error {
	in := api.NewGrant{Effect: v.readField("effect"), Schedule: v.readField("schedule")}
	kind, id, _ := strings.Cut(v.readField("subject"), "/")
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
	place, id, _ := strings.Cut(v.readField("place"), "/")
	if place == "group" {
		in.TargetGroup = id
	} else {
		in.Target = id
	}
	var err error
	if in.From, err = v.readOptionalTime("from"); err == nil {
		if in.Until, err = v.readOptionalTime("until"); err == nil {
			_, err = call(v, api.AddGrant, api.With(in))
		}
	}
	if err != nil {
		return v.showAgain(err, page)
	}
	return v.reportDone(back, "Saved.")
}

func (v *visit) removeGrant() error {
	g, err := call(v, api.GetGrant, v.readRef("grant"))
	if err != nil {
		return err
	}
	done, err := call(v, api.RemoveGrant, v.readRef("grant"))
	if err != nil {
		return err
	}
	back := "/people/" + string(g.Person.ID)
	switch {
	case g.Group.ID != "":
		back = "/groups/" + string(g.Group.ID)
	case g.Device.ID != "":
		back = "/devices/" + string(g.Device.ID)
	case g.Integration.ID != "":
		back = "/integrations/" + string(g.Integration.ID)
	}
	return v.reportDone(back, "%s", page.DescribeChanges(done))
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
	return v.showPage(v.chooseStatus(), "groups", p)
}

func (v *visit) addGroup() error {
	g, err := call(v, api.AddGroup, api.With(api.NewGroup{Name: v.readField("name"), Of: v.readField("of")}))
	if err != nil {
		return v.showAgain(err, (*visit).showGroups)
	}
	return v.reportDone("/groups/"+string(g.ID), "%s is here now.", g.Name)
}

type groupPage struct {
	api.Group
	Others []api.Ref // persons or targets that could be added
	More   string    // says that the list is incomplete; empty: it is complete
	Grants []api.Grant
	Grant  page.GrantForm
}

func (v *visit) showGroup() error {
	group, err := call(v, api.GetGroup, v.readRef("group"))
	if err != nil {
		return err
	}
	p := groupPage{Group: group}
	groups, err := list(v, api.ListGroups, api.ListQuery{})
	if err != nil {
		return err
	}
	if p.Grant, err = v.makeGrantForm("group/"+string(p.ID), groups); err != nil {
		return err
	}
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
	p.Others, p.More = limitChoices(all, "that could be added", func(api.Ref) bool { return false })
	grants, err := list(v, api.ListGrants, api.GrantFilter{})
	if err != nil {
		return err
	}
	for _, g := range grants {
		if g.Group.ID == p.ID || g.TargetGroup.ID == p.ID {
			p.Grants = append(p.Grants, g)
		}
	}
	return v.showPage(v.chooseStatus(), "group", p)
}

func (v *visit) backToGroup() string { return addressOf("/groups/", v.r.PathValue("group")) }

func (v *visit) addMember() error {
	in := api.MemberInput{ByRef: v.readRef("group"),
		Member: cmp.Or(v.readField("name"), v.readField("member"))}
	if _, err := call(v, api.JoinGroup, in); err != nil {
		return v.showAgain(err, (*visit).showGroup)
	}
	return v.reportDone(v.backToGroup(), "Saved.")
}

func (v *visit) removeMember() error {
	in := api.MemberInput{ByRef: v.readRef("group"), Member: v.r.PathValue("member")}
	if _, err := call(v, api.LeaveGroup, in); err != nil {
		return v.showAgain(err, (*visit).showGroup)
	}
	return v.reportDone(v.backToGroup(), "Saved.")
}

func (v *visit) removeGroup() error {
	done, err := call(v, api.RemoveGroup, v.readRef("group"))
	if err != nil {
		return v.showAgain(err, (*visit).showGroup)
	}
	return v.reportDone("/groups", "%s", page.DescribeChanges(done))
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
	zone, err := v.findZone()
	if err != nil {
		return err
	}
	for _, s := range p.Schedules {
		if p.Weeks[s.ID], err = page.NewWeek(s.Text, v.cfg.Now().In(zone)); err != nil {
			return err
		}
	}
	return v.showPage(v.chooseStatus(), "schedules", p)
}

func (v *visit) addSchedule() error {
	in := api.NewSchedule{Name: v.readField("name"), Text: v.readField("text")}
	if _, err := call(v, api.AddSchedule, api.With(in)); err != nil {
		return v.showAgain(err, (*visit).showSchedules)
	}
	return v.reportDone("/schedules", "Saved.")
}

func (v *visit) changeSchedule() error {
	change := api.ScheduleChange{Name: v.readField("name"), Text: v.readField("text")}
	if _, err := call(v, api.ChangeSchedule, api.AtWith(v.r.PathValue("schedule"), change)); err != nil {
		return v.showAgain(err, (*visit).showSchedules)
	}
	return v.reportDone("/schedules", "Saved.")
}

func (v *visit) removeSchedule() error {
	done, err := call(v, api.RemoveSchedule, v.readRef("schedule"))
	if err != nil {
		return v.showAgain(err, (*visit).showSchedules)
	}
	return v.reportDone("/schedules", "%s", page.DescribeChanges(done))
}
