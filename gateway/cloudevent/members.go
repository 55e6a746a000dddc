package cloudevent

import (
	"strings"

	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/audit"
)

// member is one member of an event's data. value returns nil if the event does not have it.
type member struct {
	name  string
	value func(ev *audit.Event, o Options) any
}

// members says what is sent of each kind of event. Never on a list: Card, which has digits of a
// card; Detail, which has cards in policy events, addresses in sign-ins, identities in sessions,
// and texts of nodes and people elsewhere; Counter, of which nobody needs to know.
var members = map[audit.EventKind][]member{
	audit.EventDecision: {device, target, person, actor, source, action, level, granted, reason, rule,
		clockUntrusted},
	audit.EventReceipt:      {device, target, action, level, outcome, cause},
	audit.EventPolicy:       {actor, digest},
	audit.EventSession:      {device, sessionChange},
	audit.EventReport:       {device, target, reported},
	audit.EventAlarm:        {device, target, reason, cause},
	audit.EventAcknowledged: {device, target, actor, reason, cause},
	audit.EventStale:        {device, target},
	audit.EventThrottle:     {device},
	audit.EventFull:         {device},
	audit.EventSignIn:       {signedIn, signInGranted},
	audit.EventSink:         {actor, reason},
	audit.EventIntegration:  {target, actor, source, reason},
	audit.EventBackup:       {actor},
	audit.EventRestore:      {actor},
	audit.EventRollback:     {device, reason},
	audit.EventTimeTrusted:  {},
	audit.EventStart:        {digest},
	audit.EventStop:         {},
}

var (
	device = member{"device", func(ev *audit.Event, o Options) any { return viewNamed(ev.Device, o) }}
	target = member{"target", func(ev *audit.Event, o Options) any { return viewNamed(ev.Target, o) }}
	person = member{"person", func(ev *audit.Event, o Options) any { return viewNamed(ev.Person, o) }}
	// actor has no id, so it is only a name.
	actor = member{"actor", func(ev *audit.Event, o Options) any { return viewActor(ev.Actor, o.WithNames) }}

	source = member{"source", func(ev *audit.Event, _ Options) any { return omitZero(ev.Source) }}
	action = member{"action", func(ev *audit.Event, _ Options) any {
		if ev.Action == 0 {
			return nil
		}
		return ev.Action.String()
	}}
	level = member{"level", func(ev *audit.Event, _ Options) any {
		if ev.Action != wire.Level {
			return nil
		}
		return ev.Level
	}}
	granted = member{"granted", func(ev *audit.Event, _ Options) any { return ev.Granted }}
	reason  = member{"reason", func(ev *audit.Event, _ Options) any { return omitZero(ev.Reason) }}
	rule    = member{"rule", func(ev *audit.Event, _ Options) any { return omitZero(ev.Rule) }}
	outcome = member{"outcome", func(ev *audit.Event, _ Options) any { return omitZero(ev.Outcome) }}
	// cause is the sequence attribute of the event that this one belongs to.
	cause = member{"cause", func(ev *audit.Event, _ Options) any {
		if ev.Cause == 0 {
			return nil
		}
		return formatSequence(ev.Cause)
	}}
	digest         = member{"digest", func(ev *audit.Event, _ Options) any { return omitZero(ev.Digest) }}
	clockUntrusted = member{"clockUntrusted", func(ev *audit.Event, _ Options) any {
		return omitZero(ev.ClockUntrusted)
	}}

	// sessionChange and reported are one of our own words, and nothing else of Detail.
	sessionChange = member{"change", func(ev *audit.Event, _ Options) any {
		return findWord(ev.Detail, sessionChanges)
	}}
	reported = member{"report", func(ev *audit.Event, _ Options) any { return findWord(ev.Detail, reports) }}

	// signedIn is the name of somebody who is known to have it. What was typed before a refusal may
	// be a password in the wrong field.
	signedIn = member{"actor", func(ev *audit.Event, o Options) any {
		return viewActor(ev.Actor, o.WithNames && ev.Granted)
	}}
	// signInGranted is left out of events of older versions, which have no Reason: they do not say.
	signInGranted = member{"granted", func(ev *audit.Event, _ Options) any {
		if ev.Reason == "" {
			return nil
		}
		return ev.Granted
	}}
)

// word is a word that is sent for a text that begins in a certain way.
type word struct{ begins, word string }

var sessionChanges = []word{{"replaced", "replaced"}, {"closed", "closed"}, {"offline", "offline"},
	{"ended", "ended"}}

var reports = []word{{"exit button pressed", "exit"}, {"started:", "started"},
	{"door opened without being unlocked again", "forced-again"}, {"tampered with again", "tampered-again"}}

func findWord(detail string, words []word) any {
	for _, w := range words {
		if strings.HasPrefix(detail, w.begins) {
			return w.word
		}
	}
	return nil
}

// named is a record in data.
type named struct {
	ID   access.ID `json:"id,omitempty"`
	Name string    `json:"name,omitempty"`
}

func viewNamed(n audit.Named, o Options) any {
	v := named{ID: n.ID}
	if o.WithNames {
		v.Name = n.Name
	}
	return omitZero(v)
}

func viewActor(name string, shown bool) any {
	if !shown {
		return nil
	}
	return omitZero(name)
}

// omitZero returns nil for the zero value, and otherwise v.
func omitZero[T comparable](v T) any {
	var zero T
	if v == zero {
		return nil
	}
	return v
}
