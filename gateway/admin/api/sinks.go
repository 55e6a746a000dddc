package api

import (
	"net/http"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/access/sinks"
	"latchkey/gateway/audit"
)

// Endpoint says how somebody else's server is reached, in a request. Certificates and keys are PEM
// text.
type Endpoint struct {
	URL      string `json:"url" doc:"scheme://host[:port][/path], without user and password; other admins can read it, unlike a password"`
	User     string `json:"user,omitempty"`
	Password string `json:"password,omitempty"`
	CA       string `json:"ca,omitempty" doc:"PEM, of those who may sign the server's certificate; none: the system's"`
	Cert     string `json:"cert,omitempty" doc:"PEM, the client certificate and its chain"`
	Key      string `json:"key,omitempty" doc:"PEM, the key of cert"`
	Private  bool   `json:"private,omitempty" doc:"allow addresses of a local network and of this machine"`
}

// Sink is a sink in an answer. No secret is in it.
type Sink struct {
	ID       access.ID         `json:"id"`
	Name     string            `json:"name"`
	Protocol sinks.Protocol    `json:"protocol"`
	URL      string            `json:"url"`
	User     string            `json:"user,omitempty"`
	Private  bool              `json:"private,omitempty"`
	Place    string            `json:"place,omitempty" doc:"the exchange, the address, or the beginning of subjects or topics"`
	Declare  bool              `json:"declare,omitempty"`
	Only     []audit.EventKind `json:"only,omitempty" doc:"kinds of events; none: all"`
	IDsOnly  bool              `json:"idsOnly,omitempty" doc:"names are left out"`
	From     uint64            `json:"from" doc:"the first event"`
	Paused   string            `json:"paused,omitempty" doc:"why nothing is sent"`
	Secrets  int               `json:"secrets,omitempty" doc:"how many secrets sign a webhook: two while the receiver learns the new one"`
	Secret   string            `json:"secret,omitempty" doc:"a webhook's secret that was made here; shown only now"`
	Created  time.Time         `json:"created"`
	Status   *SinkStatus       `json:"status,omitempty" doc:"of a running gateway"`
	Tagged
}

// ViewSink returns a sink as an answer shows it.
func ViewSink(r sinks.Sink) Sink {
	return Sink{ID: r.ID, Name: r.Name, Protocol: r.Protocol, URL: r.Endpoint.URL, User: r.Endpoint.User,
		Private: r.Endpoint.Private, Place: r.Place, Declare: r.Declare, Only: r.Only, IDsOnly: r.IDsOnly,
		From: r.From, Paused: r.Paused, Secrets: len(r.Secrets), Created: r.Created}
}

// SinkStatus says how a sink is doing.
type SinkStatus struct {
	State      string    `json:"state" enum:"sending,waiting,failing,paused" doc:"sending, waiting (nothing is left), failing or paused"`
	Why        string    `json:"why,omitempty"`
	Seq        uint64    `json:"seq" doc:"of the newest event that is done with"`
	LagEvents  uint64    `json:"lagEvents"`
	LagSeconds float64   `json:"lagSeconds" doc:"age of the first event that is not done with"`
	Taken      uint64    `json:"taken" doc:"events since the start of the gateway"`
	Failed     uint64    `json:"failed" doc:"tries since the start of the gateway"`
	Dead       int       `json:"dead" doc:"dead letters"`
	LastError  string    `json:"lastError,omitempty"`
	ErrorAt    time.Time `json:"errorAt,omitzero"`
	NextTry    time.Time `json:"nextTry,omitzero"`
}

// NewSink asks for a sink.
type NewSink struct {
	Name     string            `json:"name"`
	Protocol sinks.Protocol    `json:"protocol"`
	Endpoint Endpoint          `json:"endpoint"`
	Secret   string            `json:"secret,omitempty" doc:"of a webhook, whsec_ and base64; none: one is made and shown once"`
	Place    string            `json:"place,omitempty" doc:"the exchange, the address, or the beginning of subjects or topics; none: latchkey"`
	Declare  bool              `json:"declare,omitempty" doc:"make the exchange of AMQP 0-9-1"`
	Only     []audit.EventKind `json:"only,omitempty" doc:"kinds of events; none: all"`
	IDsOnly  bool              `json:"idsOnly,omitempty" doc:"leave out names"`
	From     string            `json:"from,omitempty" doc:"now, start, or the number of the first event; none: now"`
}

// SinkChange changes a sink.
type SinkChange struct {
	Paused     *bool     `json:"paused,omitempty" doc:"true: nothing is sent until somebody resumes it"`
	Endpoint   *Endpoint `json:"endpoint,omitempty" doc:"replaces all of it, with password and key"`
	Secret     string    `json:"secret,omitempty" doc:"a webhook's new secret, or new for one that is made and shown once; the one before goes on signing too"`
	DropSecret bool      `json:"dropSecret,omitempty" doc:"the secret before the newest signs no more"`
}

// DeadLetter points to an event that a sink's server refused for good.
type DeadLetter struct {
	Seq   uint64    `json:"seq" doc:"of the event"`
	Why   string    `json:"why"`
	Tries int       `json:"tries"`
	At    time.Time `json:"at"`
}

// DeadRef names a dead letter in the path.
type DeadRef struct {
	ByRef
	Seq uint64 `path:"seq" doc:"of the event" minimum:"1"`
}

// Operations on sinks.
var (
	ListSinks = declare[ListQuery, List[Sink]](toInspect, http.MethodGet, "/v1/sinks", "list-sinks",
		"List the places that events are sent to")
	AddSink = declare[Body[NewSink], Sink](toManage, http.MethodPost, "/v1/sinks", "add-sink",
		"Send events to a server")
	GetSink = declare[ByRef, Sink](toInspect, http.MethodGet, "/v1/sinks/{ref}", "get-sink",
		"One sink, and how it is doing")
	ChangeSink = declare[RefBody[SinkChange], Sink](toManage, http.MethodPatch, "/v1/sinks/{ref}",
		"change-sink", "Pause or resume a sink, or change how it proves who it is").acceptIfMatch()
	RemoveSink = declare[ByRef, Changed](toManage, http.MethodDelete, "/v1/sinks/{ref}", "remove-sink",
		"Remove a sink with its place in the events and its dead letters").acceptIfMatch()
	TestSink = declare[ByRef, Nothing](toManage, http.MethodPost, "/v1/sinks/{ref}/test", "test-sink",
		"Send one test event that is in no record")
	ListDeadLetters = declare[ByRef, List[DeadLetter]](toInspect, http.MethodGet, "/v1/sinks/{ref}/dead",
		"list-dead-letters", "List the events that a sink's server refused")
	RetryDeadLetter = declare[DeadRef, Nothing](toManage, http.MethodPost, "/v1/sinks/{ref}/dead/{seq}/retry",
		"retry-dead-letter", "Send such an event once more")
)
