package cli

import (
	"latchkey/gateway/admin/api"
)

func scheduleCommands() []spec {
	return []spec{
		{
			name: "add", args: "NAME WINDOWS", makes: true,
			usage: `add a schedule: "mon-fri 08:00-18:00, 2026-12-25 closed", in the site's time zone`,
			run: func(x *call) error {
				in := api.NewSchedule{Name: x.arg(0), Text: x.arg(1)}
				return ask(x, api.AddSchedule, api.With(in), func(s api.Schedule) string {
					return "added schedule " + s.Name + ": " + s.Text
				})
			},
		},
		{
			name: "list", usage: "list schedules",
			run: func(x *call) error {
				return list(x, api.ListSchedules, api.ListQuery{}, "NAME WINDOWS ID", scheduleRow)
			},
		},
		removal("NAME", "remove a schedule that no grant uses", api.RemoveSchedule),
	}
}

func scheduleRow(s api.Schedule) []string { return []string{s.Name, s.Text, string(s.ID)} }
