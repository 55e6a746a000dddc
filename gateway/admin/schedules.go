package admin

import (
	"context"
	"net/http"
	"time"

	"latchkey/gateway/access"
)

// Schedule is weekly windows in an answer.
type Schedule struct {
	ID      access.ID `json:"id"`
	Name    string    `json:"name"`
	Text    string    `json:"text" doc:"in canonical form, in the site's time zone" example:"mon-fri 08:00-18:00"`
	Created time.Time `json:"created"`
}

// NewSchedule asks for a schedule.
type NewSchedule struct {
	Name string `json:"name" doc:"1 to 64 of a-z 0-9 . _ -"`
	Text string `json:"text" doc:"items separated by commas: days and a window, or a date and a window or closed" example:"mon-fri 08:00-18:00, 2026-12-25 closed"`
}

// ScheduleChange changes a schedule.
type ScheduleChange struct {
	Name string `json:"name,omitempty"`
	Text string `json:"text,omitempty"`
}

func (a *api) scheduleRoutes() {
	handle(a, toLook, http.MethodGet, "/v1/schedules", "list-schedules", "All schedules, by name",
		func(context.Context, *struct{}) (*body[list[Schedule]], error) {
			p := a.Store.Snapshot()
			return listOf(viewAll(p, p.Schedules, viewSchedule, func(v Schedule) string { return v.Name })),
				nil
		})
	handle(a, toManage, http.MethodPost, "/v1/schedules", "add-schedule", "Add a schedule",
		func(ctx context.Context, in *struct{ Body NewSchedule }) (*body[Schedule], error) {
			return put(ctx, a, func(*access.Policy) (access.Schedule, error) {
				return access.Schedule{ID: access.NewID(), Name: in.Body.Name, Text: in.Body.Text,
					Created: a.stamp()}, nil
			}, viewSchedule)
		})
	handle(a, toLook, http.MethodGet, "/v1/schedules/{ref}", "get-schedule", "One schedule",
		func(_ context.Context, in *RefInput) (*body[Schedule], error) {
			return show(a, in.Ref, findSchedule, viewSchedule)
		})
	handle(a, toManage, http.MethodPatch, "/v1/schedules/{ref}", "change-schedule",
		"Rename a schedule or change its windows",
		func(ctx context.Context, in *struct {
			RefInput
			Body ScheduleChange
		}) (*body[Schedule], error) {
			return put(ctx, a, func(p *access.Policy) (access.Schedule, error) {
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
	handle(a, toManage, http.MethodDelete, "/v1/schedules/{ref}", "remove-schedule",
		"Remove a schedule that no grant uses",
		func(ctx context.Context, in *RefInput) (*body[Changed], error) {
			return remove(ctx, a, func(p *access.Policy) (access.Schedule, error) {
				return findSchedule(p,
					in.Ref)
			})
		})
}

func viewSchedule(_ *access.Policy, s access.Schedule) Schedule {
	return Schedule{ID: s.ID, Name: s.Name, Text: s.Text, Created: s.Created}
}
