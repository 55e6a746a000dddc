package console

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"latchkey/gateway/access"
	"latchkey/gateway/admin/api"
)

// Groups, grants and schedules: what is between people and doors.

// grantForm is what a grant can be made of.
type grantForm struct {
	Subject   string // person/ID, group/ID or device/ID
	Targets   []api.Target
	Groups    []api.Group // of targets
	Schedules []api.Schedule
}

func (v *visit) grantForm() (f grantForm, err error) {
	if f.Targets, err = listOf[api.Target](v, "/v1/targets"); err != nil {
		return f, err
	}
	groups, err := listOf[api.Group](v, "/v1/groups")
	if err != nil {
		return f, err
	}
	for _, g := range groups {
		if g.Of == string(access.OfTargets) {
			f.Groups = append(f.Groups, g)
		}
	}
	f.Schedules, err = listOf[api.Schedule](v, "/v1/schedules")
	return f, err
}

// addGrant makes a grant. It goes back to the page of whom it is for.
func (v *visit) addGrant() error {
	in := api.NewGrant{Effect: v.field("effect"), Schedule: v.field("schedule")}
	kind, id, _ := strings.Cut(v.field("subject"), "/")
	page, back := (*visit).showPerson, "/people/"+escape(id)
	switch kind {
	case "person":
		in.Person = id
		v.r.SetPathValue("person", id)
	case "group":
		in.Group = id
		v.r.SetPathValue("group", id)
		page, back = (*visit).showGroup, "/groups/"+escape(id)
	case "device":
		in.Device = id
		v.r.SetPathValue("device", id)
		page, back = (*visit).showDevice, "/devices/"+escape(id)
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
			err = v.post("/v1/grants", in, nil)
		}
	}
	if err != nil {
		return v.again(err, page)
	}
	return v.done(back, "Saved.")
}

func (v *visit) removeGrant() error {
	var g api.Grant
	if err := v.get("/v1/grants/"+v.ref("grant"), &g); err != nil {
		return err
	}
	var done api.Changed
	if err := v.call(http.MethodDelete, "/v1/grants/"+v.ref("grant"), nil, &done); err != nil {
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
	if p.Groups, err = listOf[api.Group](v, "/v1/groups"); err != nil {
		return err
	}
	grants, err := listOf[api.Grant](v, "/v1/grants")
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
	var g api.Group
	if err := v.post("/v1/groups", api.NewGroup{Name: v.field("name"), Of: v.field("of")}, &g); err != nil {
		return v.again(err, (*visit).showGroups)
	}
	return v.done("/groups/"+string(g.ID), "%s is here now.", g.Name)
}

type groupPage struct {
	api.Group
	Others []api.Ref // who or what could be added
	More   string    // that the list of them does not go so far; empty: it does
	Grants []api.Grant
	Grant  grantForm
}

func (v *visit) showGroup() error {
	var p groupPage
	if err := v.get("/v1/groups/"+v.ref("group"), &p.Group); err != nil {
		return err
	}
	var all []api.Ref
	if p.Of == string(access.OfPersons) {
		persons, err := listOf[api.Person](v, "/v1/persons")
		if err != nil {
			return err
		}
		for _, r := range persons {
			all = append(all, api.Ref{ID: r.ID, Name: r.Name})
		}
	} else {
		targets, err := listOf[api.Target](v, "/v1/targets")
		if err != nil {
			return err
		}
		for _, r := range targets {
			all = append(all, api.Ref{ID: r.ID, Name: r.Name})
		}
	}
	in := map[access.ID]bool{}
	for _, m := range p.Members {
		in[m.ID] = true
	}
	all = slices.DeleteFunc(all, func(r api.Ref) bool { return in[r.ID] })
	p.Others, p.More = choices(all, "that could be added", func(api.Ref) bool { return false })
	grants, err := listOf[api.Grant](v, "/v1/grants")
	if err != nil {
		return err
	}
	for _, g := range grants {
		if g.Group.ID == p.ID || g.TargetGroup.ID == p.ID {
			p.Grants = append(p.Grants, g)
		}
	}
	if p.Grant, err = v.grantForm(); err != nil {
		return err
	}
	p.Grant.Subject = "group/" + string(p.ID)
	return v.show(v.status(), "group", p)
}

func (v *visit) backToGroup() string { return "/groups/" + v.ref("group") }

func (v *visit) addMember() error {
	if err := v.call(http.MethodPut, "/v1/groups/"+v.ref("group")+"/members/"+escape(cmp.Or(v.field("name"),
		v.field("member"))), nil, nil); err != nil {
		return v.again(err, (*visit).showGroup)
	}
	return v.done(v.backToGroup(), "Saved.")
}

func (v *visit) removeMember() error {
	if err := v.call(http.MethodDelete, "/v1/groups/"+v.ref("group")+"/members/"+v.ref("member"), nil,
		nil); err != nil {
		return v.again(err, (*visit).showGroup)
	}
	return v.done(v.backToGroup(), "Saved.")
}

func (v *visit) removeGroup() error {
	var done api.Changed
	if err := v.call(http.MethodDelete, "/v1/groups/"+v.ref("group"), nil, &done); err != nil {
		return v.again(err, (*visit).showGroup)
	}
	return v.done("/groups", "%s", changes(done))
}

type schedulesPage struct {
	Schedules []api.Schedule
	Grants    map[access.ID]int
	Weeks     map[access.ID]week
}

func (v *visit) showSchedules() error {
	p := schedulesPage{Grants: map[access.ID]int{}, Weeks: map[access.ID]week{}}
	var err error
	if p.Schedules, err = listOf[api.Schedule](v, "/v1/schedules"); err != nil {
		return err
	}
	grants, err := listOf[api.Grant](v, "/v1/grants")
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
		if p.Weeks[s.ID], err = weekOf(s.Text, v.cfg.Now().In(zone)); err != nil {
			return err
		}
	}
	return v.show(v.status(), "schedules", p)
}

func (v *visit) addSchedule() error {
	if err := v.post("/v1/schedules", api.NewSchedule{Name: v.field("name"), Text: v.field("text")},
		nil); err != nil {
		return v.again(err, (*visit).showSchedules)
	}
	return v.done("/schedules", "Saved.")
}

func (v *visit) changeSchedule() error {
	change := api.ScheduleChange{Name: v.field("name"), Text: v.field("text")}
	if err := v.call(http.MethodPatch, "/v1/schedules/"+v.ref("schedule"), change, nil); err != nil {
		return v.again(err, (*visit).showSchedules)
	}
	return v.done("/schedules", "Saved.")
}

func (v *visit) removeSchedule() error {
	var done api.Changed
	if err := v.call(http.MethodDelete, "/v1/schedules/"+v.ref("schedule"), nil, &done); err != nil {
		return v.again(err, (*visit).showSchedules)
	}
	return v.done("/schedules", "%s", changes(done))
}
