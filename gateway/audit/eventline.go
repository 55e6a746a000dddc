package audit

import (
	"fmt"
	"strings"

	"latchkey/coapres/wire"
	"latchkey/gateway/access"
)

// Line is the event in a few words for people, without its time and kind. Names in it are as they
// were given: whoever shows it must escape them.
func (e Event) Line() string {
	var s []string
	add := func(is bool, format string, a ...any) {
		if is {
			s = append(s, fmt.Sprintf(format, a...))
		}
	}
	switch e.Kind {
	case EventDecision:
		add(e.Granted, "granted")
		add(!e.Granted, "denied (%s)", e.Reason)
		add(e.Person.Name != "", "%s", e.Person.Name)
		add(e.Card != "", "card …%s", e.Card)
		add(e.Source == access.ByIntegration, "by integration %s", e.Actor)
		add(e.Actor != "" && e.Source != access.ByIntegration, "by %s", e.Actor)
		add(e.Action != 0, "%v", e.Action)
		add(e.Action == wire.Level, "%d", e.Level)
		add(e.Target.Name != "", "%s", e.Target.Name)
		add(e.Device.Name != "", "at %s", e.Device.Name)
		add(e.ClockUntrusted, "(time not trusted)")
	case EventReceipt:
		add(true, "%s", e.Outcome)
		add(e.Target.Name != "", "%s", e.Target.Name)
		add(e.Device.Name != "", "at %s", e.Device.Name)
		add(e.Cause != 0, "for event %d", e.Cause)
	case EventAlarm:
		add(e.Target.Name != "", "%s:", e.Target.Name)
		add(e.Detail != "", "%s", e.Detail)
		add(e.Device.Name != "", "(%s)", e.Device.Name)
		add(e.Cause != 0, "since event %d, and nobody has acknowledged it", e.Cause)
		return strings.Join(s, " ")
	case EventStale:
		add(true, "%s:", e.Device.Name)
	case EventAcknowledged:
		add(e.Target.Name != "", "%s:", e.Target.Name)
		add(e.Target.Name == "", "%s:", e.Device.Name)
		add(true, "%s by %s, alarm of event %d", e.Reason, e.Actor, e.Cause)
	case EventSink, EventIntegration: // the detail is a verb, as in: fails
		add(true, "%s %s", e.Kind, e.Actor)
		add(e.Target.Name != "", "at %s", e.Target.Name)
		s = []string{strings.Join(s, " ") + ":"}
	default:
		add(e.Device.Name != "", "%s:", e.Device.Name)
		add(e.Target.Name != "", "%s", e.Target.Name)
		add(e.Actor != "", "%s:", e.Actor)
	}
	add(e.Detail != "" && e.Detail != string(e.Outcome), "%s", e.Detail)
	return strings.Join(s, " ")
}
