package page

import (
	"html/template"
	"net/url"
	"strconv"
	"strings"

	"latchkey/gateway/audit"
)

// Filter says which events to show. An empty field matches every event.
type Filter struct {
	Person string // part of the name
	Target string
	Reason string
	Kind   string
}

// Query returns the filter as the query of an address, after the question mark. It is escaped, so a
// template must not escape it again.
func (f Filter) Query() template.URL { return template.URL(f.values().Encode()) }

// QueryBefore is the same, for the events before a number.
func (f Filter) QueryBefore(seq uint64) template.URL {
	q := f.values()
	q.Set("before", strconv.FormatUint(seq, 10))
	return template.URL(q.Encode())
}

func (f Filter) values() url.Values {
	q := url.Values{}
	for name, value := range map[string]string{"person": f.Person, "target": f.Target, "reason": f.Reason,
		"kind": f.Kind} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return q
}

// Matches tells whether an event matches the filter.
func (f Filter) Matches(e audit.Event) bool {
	return (f.Person == "" || strings.Contains(strings.ToLower(e.Person.Name), strings.ToLower(f.Person))) &&
		(f.Target == "" || e.Target.Name == f.Target || string(e.Target.ID) == f.Target) &&
		(f.Reason == "" || string(e.Reason) == f.Reason || string(e.Outcome) == f.Reason) &&
		(f.Kind == "" || string(e.Kind) == f.Kind)
}

// Row is an event in a table.
type Row struct {
	audit.Event
	Text string
	Tone string // good, bad or plain
}

// NewRow makes the row of an event.
func NewRow(e audit.Event) Row {
	r := Row{Event: e, Text: e.Line(), Tone: "plain"}
	switch {
	case e.Kind == audit.EventDecision && e.Granted, e.Kind == audit.EventReceipt &&
		e.Outcome == audit.OutcomeDone, e.Reason == audit.ReasonRecovered:
		r.Tone = "good"
	case e.Kind == audit.EventDecision, e.Kind == audit.EventReceipt, e.Kind == audit.EventThrottle,
		e.Kind == audit.EventReport, e.Kind == audit.EventSink, e.Kind == audit.EventIntegration,
		e.Kind == audit.EventAlarm, e.Kind == audit.EventStale, e.Kind == audit.EventFull,
		e.Kind == audit.EventRollback:
		r.Tone = "bad"
	}
	return r
}
