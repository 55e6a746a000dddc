package api

import (
	"net/http"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/audit"
)

// EventQuery says which events: from a sequence number upwards, or the newest since a time, or else
// simply the newest.
type EventQuery struct {
	From  uint64    `query:"from" doc:"sequence number of the first"`
	After uint64    `query:"after" doc:"the same as from, by the number of the last event before; 0 is the same as left out, and from=1 begins with the first event"`
	Since time.Time `query:"since" doc:"the newest whose time is not before this, RFC 3339"`
	Limit int       `query:"limit" minimum:"1" maximum:"1000" doc:"at most so many; 100 if left out"`
	Wait  int       `query:"wait" minimum:"0" maximum:"60" doc:"with from: seconds to wait for the first event where there is none yet"`
	Q     string    `query:"q" maxLength:"64" doc:"only events that have this text in their line; capitals do not matter. At most 20,000 events are looked through. With from or after, next says where to go on; without, only the newest are looked through, and next is for those to come"`
}

// Events is a page of events, oldest first.
type Events struct {
	Items []audit.Event `json:"items"`
	Next  uint64        `json:"next" doc:"from for what comes after these"`
}

// StreamInput says where a stream starts.
type StreamInput struct {
	From    uint64 `query:"from" doc:"sequence number of the first; only new events if left out"`
	Devices bool   `query:"devices" doc:"also a line {\"devices\":[id…]} when something else is known of devices than before: their session, state or readings"`
}

// News is a line of a stream: an event, or the devices of which something else is known than before.
type News struct {
	audit.Event
	Devices []access.ID `json:"devices,omitempty"`
}

// Operations on events.
var (
	ListEvents = declare[EventQuery, Events](toLook, http.MethodGet, "/v1/events", "list-events",
		"Events, oldest first")
	StreamEvents = declare[StreamInput, News](toLook, http.MethodGet, "/v1/events/stream", "stream-events",
		"Events as they happen, one JSON object a line, until the client goes")
)
