package page

import (
	"latchkey/gateway/access"
	"latchkey/gateway/admin/api"
)

// GrantForm has the choices for a new grant.
type GrantForm struct {
	Subject   string // person/ID, group/ID, device/ID or integration/ID
	Targets   []api.Target
	Groups    []api.Group // of targets
	Schedules []api.Schedule
}

// NewGrantForm returns the choices for a new grant to a subject. Groups may be of persons, too.
func NewGrantForm(subject string, targets []api.Target, groups []api.Group, schedules []api.Schedule) GrantForm {
	f := GrantForm{Subject: subject, Targets: targets, Schedules: schedules}
	for _, g := range groups {
		if g.Of == string(access.OfTargets) {
			f.Groups = append(f.Groups, g)
		}
	}
	return f
}
