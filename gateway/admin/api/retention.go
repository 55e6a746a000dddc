package api

import (
	"net/http"

	"latchkey/gateway/audit"
)

// Retention says how long events are kept.
type Retention struct {
	Days    int             `json:"days" doc:"events are kept for so many days at least; 0: for ever"`
	First   uint64          `json:"first" doc:"the first event that is kept"`
	Removed audit.Removed   `json:"removed,omitzero" doc:"left out if no event was removed"`
	Old     uint64          `json:"old,omitempty" doc:"the newest event that is old enough to be removed and is still there"`
	Holds   []RetentionHold `json:"holds" doc:"why old events are still there"`
}

// RetentionHold is a reason why old events are not removed.
type RetentionHold struct {
	Kind   string `json:"kind" enum:"sink,alarm,clock" doc:"a sink has not taken them; nobody has acknowledged the alarm in one of them; or the clock is not trusted"`
	Name   string `json:"name,omitempty" doc:"of the sink"`
	Why    string `json:"why,omitempty" doc:"why the sink is paused, or the clock is not trusted"`
	First  uint64 `json:"first,omitempty" doc:"the first event that is kept because of it"`
	Events uint64 `json:"events,omitempty" doc:"how many old events are kept because of it"`
}

// The kinds of [RetentionHold].
const (
	HeldBySink  = "sink"
	HeldByAlarm = "alarm"
	HeldByClock = "clock"
)

// RetentionChange sets how long events are kept.
type RetentionChange struct {
	Days int `json:"days" minimum:"0" maximum:"36500" doc:"events are kept for so many days; 0: for ever. Older ones are removed soon after"`
}

// Release lets a sink do without old events.
type Release struct {
	Sink string `json:"sink" doc:"its name or id"`
	Lose uint64 `json:"lose" doc:"how many events the sink may lose at most. The request is refused with the number if there are more"`
}

// Operations on the retention of events.
var (
	GetRetention = declare[Nothing, Retention](toInspect, http.MethodGet, "/v1/retention", "get-retention",
		"Get how long events are kept, and what keeps old ones from being removed")
	SetRetention = declare[Body[RetentionChange], Retention](toGovern, http.MethodPut, "/v1/retention",
		"set-retention", "Set how long events are kept")
	ReleaseEvents = declare[Body[Release], Retention](toGovern, http.MethodPost, "/v1/retention/release",
		"release-events", "Let a sink lose the old events that it has not taken, so that they can be removed")
)
