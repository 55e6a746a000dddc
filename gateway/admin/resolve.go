package admin

import (
	"latchkey/gateway/access"
	"latchkey/gateway/access/accounts"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/route"
)

func findPerson(p *access.Policy, ref string) (access.Person, error) {
	return route.Find("person", ref, p.Persons, p.PersonByName)
}

func findTarget(p *access.Policy, ref string) (access.Target, error) {
	return route.Find("target", ref, p.Targets, p.TargetByName)
}

func findDevice(p *access.Policy, ref string) (access.Device, error) {
	return route.Find("device", ref, p.Devices, p.DeviceByName)
}

func findGroup(p *access.Policy, ref string) (access.Group, error) {
	return route.Find("group", ref, p.Groups, p.GroupByName)
}

func findSchedule(p *access.Policy, ref string) (access.Schedule, error) {
	return route.Find("schedule", ref, p.Schedules, p.ScheduleByName)
}

func findAccount(p *access.Policy, ref string) (accounts.Account, error) {
	return route.Find("account", ref, accounts.Kind.In(p),
		func(name string) (accounts.Account, bool) { return accounts.Kind.ByName(p, name) })
}

func findGrant(p *access.Policy, ref string) (access.Grant, error) {
	if g, ok := p.Grants[access.ID(ref)]; ok {
		return *g, nil
	}
	return access.Grant{}, route.Missing("grant", ref)
}

func personRef(p *access.Policy, id access.ID) api.Ref {
	return api.Ref{ID: id, Name: p.Persons[id].Name}
}
func targetRef(p *access.Policy, id access.ID) api.Ref {
	return api.Ref{ID: id, Name: p.Targets[id].Name}
}
func deviceRef(p *access.Policy, id access.ID) api.Ref {
	return api.Ref{ID: id, Name: p.Devices[id].Name}
}
func groupRef(p *access.Policy, id access.ID) api.Ref {
	return api.Ref{ID: id, Name: p.Groups[id].Name}
}
func scheduleRef(p *access.Policy, id access.ID) api.Ref {
	return api.Ref{ID: id, Name: p.Schedules[id].Name}
}

func makeRefs(p *access.Policy, ids []access.ID, ref func(*access.Policy, access.ID) api.Ref) []api.Ref {
	out := make([]api.Ref, 0, len(ids))
	for _, id := range ids {
		out = append(out, ref(p, id))
	}
	return out
}

func namesOf(records []api.Ref) []string {
	out := make([]string, len(records))
	for i, r := range records {
		out[i] = r.Name
	}
	return out
}
