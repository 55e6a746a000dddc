package api

import (
	"net/http"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/audit"
)

// EventQuery selects events: from a sequence number upwards, or the newest since a time, or else
// the newest of all.
type EventQuery struct {
	From  uint64    `query:"from" doc:"sequence number of the first event; if that was removed, the first that is kept"`
	After uint64    `query:"after" doc:"only events after this sequence number; another way to say from. 0 is the same as left out"`
	Since time.Time `query:"since" doc:"only events at or after this time, RFC 3339; the newest of them"`
	Limit int       `query:"limit" minimum:"1" maximum:"1000" doc:"at most so many; 100 if left out"`
	Wait  int       `query:"wait" minimum:"0" maximum:"60" doc:"with from: how many seconds to wait if there is no such event yet"`
	Q     string    `query:"q" maxLength:"64" doc:"only events that have this text in their line; capitals do not matter. At most 20,000 events are looked through. With from or after, next says where to go on; without, only the newest are looked through, and next is for those to come"`
}

// Events is a page of events, oldest first.
type Events struct {
	Items   []audit.Event `json:"items"`
	Next    uint64        `json:"next" doc:"the value of from that continues after these events"`
	Removed audit.Removed `json:"removed,omitzero" doc:"events that were removed because they were old; left out if none was"`
}

// StreamInput says where a stream starts.
type StreamInput struct {
	From    uint64 `query:"from" doc:"sequence number of the first event; only new events if left out"`
	Devices bool   `query:"devices" doc:"also write a line {\"devices\":[id…]} when the session, state or readings of devices have changed"`
}

// News is a line of a stream: an event, or the devices whose session, state or readings have
// changed.
type News struct {
	audit.Event
	Devices []access.ID `json:"devices,omitempty"`
}

// Operations on events.
var (
	ListEvents = declare[EventQuery, Events](toLook, http.MethodGet, "/v1/events", "list-events",
		"List events, oldest first")
	StreamEvents = declare[StreamInput, News](toLook, http.MethodGet, "/v1/events/stream", "stream-events",
		"Stream events as they happen, one JSON object per line, until the client disconnects")
)
