package homeassistant

import (
	"latchkey/gateway/access"
	"latchkey/gateway/audit"
	"latchkey/gateway/door"
	"latchkey/gateway/doorwatch"
)

// eventType is what happened at a target, in one of the words that its announcement lists.
type eventType string

const (
	eventGranted  eventType = "granted"  // and the device did it
	eventDenied   eventType = "denied"   // for the reason
	eventRetry    eventType = "retry"    // granted, but the device did not do it
	eventForced   eventType = "forced"   // the door was opened without being unlocked
	eventTampered eventType = "tampered" // with a device at the target
	eventExit     eventType = "exit"     // somebody pressed the button inside
)

// activity is one thing that happened. It holds no digits of a card and no address.
type activity struct {
	Type   eventType     `json:"event_type"`
	Reason access.Reason `json:"reason,omitempty"`
	Person string        `json:"person,omitempty"`
	Source access.Source `json:"source,omitempty"`
}

// maxPending bounds the granted decisions whose outcome is not known yet.
const maxPending = 256

// activities turns events into activities. It is for one goroutine.
type activities struct {
	pending map[uint64]activity // granted decisions without an outcome, by event
}

// note returns what an event means at its target. A granted decision becomes an activity only with
// its outcome, since a lock that did not open is something else than one that did.
func (a *activities) note(ev audit.Event) (activity, bool) {
	if ev.Target.ID == "" {
		return activity{}, false
	}
	switch ev.Kind {
	case audit.EventDecision:
		act := activity{Type: eventDenied, Reason: ev.Reason, Person: ev.Person.Name, Source: ev.Source}
		if !ev.Granted {
			return act, true
		}
		a.keep(ev.Seq, act)
	case audit.EventReceipt:
		act, ok := a.pending[ev.Cause]
		delete(a.pending, ev.Cause)
		if act.Type = eventRetry; ev.Outcome == audit.OutcomeDone {
			act.Type = eventGranted
		}
		return act, ok
	case audit.EventAlarm:
		if ev.Cause != 0 { // the same alarm again
			return activity{}, false
		}
		if door.Headline(ev.Reason) == door.Forced {
			return activity{Type: eventForced}, true
		}
		return activity{Type: eventTampered}, true
	case audit.EventReport:
		return activity{Type: eventExit}, ev.Detail == doorwatch.ExitPressed
	}
	return activity{}, false
}

func (a *activities) keep(seq uint64, act activity) {
	if a.pending == nil || len(a.pending) >= maxPending {
		a.pending = map[uint64]activity{} // their outcomes were lost long ago
	}
	a.pending[seq] = act
}
