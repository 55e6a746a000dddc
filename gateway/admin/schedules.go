package admin

import (
	"context"

	"latchkey/gateway/access"
	"latchkey/gateway/admin/api"
)

func (a *server) addScheduleRoutes() {
	handle(a, api.ListSchedules,
		func(_ context.Context, in *api.ListQuery) (api.List[api.Schedule], error) {
			p := a.Store.Snapshot()
			return listRecords(a, p, p.Schedules, catalog[access.Schedule, api.Schedule]{draw: viewSchedule,
				key: func(v api.Schedule) string { return v.Name }}, *in)
		})
	handle(a, api.AddSchedule,
		func(ctx context.Context, in *api.Body[api.NewSchedule]) (api.Schedule, error) {
			return putRecord(ctx, a, func(*access.Policy) (access.Schedule, error) {
				return access.Schedule{ID: access.NewID(), Name: in.Body.Name, Text: in.Body.Text,
					Created: a.makeStamp()}, nil
			}, viewSchedule)
		})
	handle(a, api.GetSchedule,
		func(_ context.Context, in *api.ByRef) (api.Schedule, error) {
			return showRecord(a, in.Ref, findSchedule, viewSchedule)
		})
	handle(a, api.ChangeSchedule,
		func(ctx context.Context, in *api.RefBody[api.ScheduleChange]) (api.Schedule, error) {
			return putRecord(ctx, a, func(p *access.Policy) (access.Schedule, error) {
				s, err := findSchedule(p, in.Ref)
				if in.Body.Name != "" {
					s.Name = in.Body.Name
				}
				if in.Body.Text != "" {
					s.Text = in.Body.Text
				}
				return s, err
			}, viewSchedule)
		})
	handle(a, api.RemoveSchedule,
		func(ctx context.Context, in *api.ByRef) (api.Changed, error) {
			return removeRecord(ctx, a, in.Ref, findSchedule)
		})
}

func viewSchedule(_ *access.Policy, s access.Schedule) api.Schedule {
	return api.Schedule{ID: s.ID, Name: s.Name, Text: s.Text, Created: s.Created}
}
