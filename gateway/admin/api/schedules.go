package api

import (
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
	Tagged
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

// Operations on schedules.
var (
	ListSchedules = declare[ListQuery, List[Schedule]](toLook,
		http.MethodGet, "/v1/schedules", "list-schedules",
		"List all schedules, by name")
	AddSchedule = declare[Body[NewSchedule], Schedule](toManage,
		http.MethodPost, "/v1/schedules", "add-schedule",
		"Add a schedule")
	GetSchedule = declare[ByRef, Schedule](toLook, http.MethodGet, "/v1/schedules/{ref}", "get-schedule",
		"One schedule")
	ChangeSchedule = declare[RefBody[ScheduleChange], Schedule](toManage,
		http.MethodPatch, "/v1/schedules/{ref}", "change-schedule",
		"Rename a schedule or change its windows").acceptIfMatch()
	RemoveSchedule = declare[ByRef, Changed](toManage,
		http.MethodDelete, "/v1/schedules/{ref}", "remove-schedule",
		"Remove a schedule that no grant uses").acceptIfMatch()
)
