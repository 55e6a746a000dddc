package page

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/admin/api"
)

// Sink is a sink on a page.
type Sink struct{ api.Sink }

// Word returns what the sink is doing, in words. What the gateway has not told is not known.
func (s Sink) Word() string {
	switch {
	case s.Paused != "":
		return "paused"
	case s.Status == nil:
		return "not known yet"
	case s.Status.State == "paused": // it was resumed a moment ago
		return "about to go on"
	case s.Status.State == "waiting":
		return "up to date"
	}
	return s.Status.State
}

// Tone returns the colour of that: good, bad or unknown.
func (s Sink) Tone() string {
	switch {
	case s.Paused != "", s.Status != nil && s.Status.State == "failing":
		return "bad"
	case s.Status != nil && (s.Status.State == "sending" || s.Status.State == "waiting"):
		return "good"
	}
	return "unknown"
}

// Why returns why nothing is sent, if it is known.
func (s Sink) Why() string {
	if s.Paused == "" && s.Status != nil && s.Status.State == "failing" {
		return s.Status.Why
	}
	return s.Paused
}

// Behind returns the time of the first event that is not done with.
func (s Sink) Behind(now time.Time) time.Time {
	return now.Add(-time.Duration(s.Status.LagSeconds * float64(time.Second)))
}

// DeadLetter is a dead letter of a sink on a page.
type DeadLetter struct {
	api.DeadLetter
	Sink access.ID
}

// Next returns the number after the event, from which a page of events looks back.
func (d DeadLetter) Next() uint64 { return d.Seq + 1 }

// Integration is an integration on a page.
type Integration struct{ api.Integration }

// Word returns in words whether it is connected.
func (r Integration) Word() string {
	switch {
	case r.Status == nil:
		return "not known yet"
	case r.Status.Connected:
		return "connected"
	}
	return "not connected"
}

// Tone returns the colour of that: good, bad or unknown.
func (r Integration) Tone() string {
	switch {
	case r.Status == nil:
		return "unknown"
	case r.Status.Connected:
		return "good"
	}
	return "bad"
}

// Refusal is a reason for which commands were refused, and how many were.
type Refusal struct {
	Reason string
	Count  uint64
}

// Refusals returns the reasons for which commands were refused, by name.
func (r Integration) Refusals() (out []Refusal) {
	if r.Status == nil {
		return nil
	}
	for _, reason := range slices.Sorted(maps.Keys(r.Status.Refused)) {
		if n := r.Status.Refused[reason]; n > 0 {
			out = append(out, Refusal{reason, n})
		}
	}
	return out
}

// Shut returns for how long no code is checked; empty if codes are.
func (r Integration) Shut() string {
	if r.Status == nil || r.Status.CodesAfter == 0 {
		return ""
	}
	return fmt.Sprint(time.Duration(r.Status.CodesAfter) * time.Second)
}
