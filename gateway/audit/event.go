// Package audit says what an event is: one line of the record of what happened. It decides nothing
// and keeps nothing; the store chains events, and feed hands them on.
package audit

import (
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/keys"
)

// EventKind is what an event is about. The texts are stable.
type EventKind string

const (
	// EventDecision: an attempt was decided. Its sequence number is the command's id.
	EventDecision EventKind = "decision"
	// EventReceipt: what came of the command of the decision in Cause.
	EventReceipt EventKind = "receipt"
	// EventPolicy: records were changed. Detail says how, Digest is the policy's.
	EventPolicy EventKind = "policy"
	// EventSession: Detail begins with replaced, offline, closed or ended.
	EventSession EventKind = "session"
	// EventAlarm: Reason is forced or tampered, at Target. The alarm stays until it is
	// acknowledged. With Cause, it repeats the alarm of that event.
	EventAlarm EventKind = "alarm"
	// EventAcknowledged: Actor acknowledged the alarm in Cause. Detail is a remark.
	EventAcknowledged EventKind = "acknowledged"
	// EventStale: a scan came so late after the tap that it was not decided. Counter is the scan's.
	EventStale EventKind = "stale"
	// EventThrottle: a reader is slowed down after too many unknown cards.
	EventThrottle EventKind = "throttle"
	// EventFull: a handshake was refused because there are as many sessions as there may be. Device
	// is as the peer claimed it.
	EventFull EventKind = "full"
	// EventReport: a node reported something that is not routine (exit button, boot).
	EventReport EventKind = "report"
	// EventSignIn: somebody signed in at the console as Actor: Granted is set and Reason is granted.
	// Or somebody was refused: Reason is refused, and Actor is what they typed. Older events have no
	// Reason. Detail says from where and how.
	EventSignIn EventKind = "sign-in"
	// EventSink: the sink of the name in Actor began to fail, or recovered; see Reason. Detail says
	// why.
	EventSink EventKind = "sink"

	// EventIntegration: a command of the integration of the name in Actor was refused before it was
	// decided, for Reason; or the integration was paused. Detail says more, and how many commands
	// were refused since the last such event.
	EventIntegration EventKind = "integration"

	// EventBackup: Actor asked for a backup, which has the site key. Detail says of what, and for how
	// many recipients.
	EventBackup EventKind = "backup"

	// EventRestore: Actor restored the store from a backup that ends at the event before. The scan
	// counters of all devices are void.
	EventRestore EventKind = "restore"

	// EventRollback: the store is an older copy, or may be; see Reason. Detail says what may be undone.
	// With Device, that device says so. It stays until somebody acknowledges it.
	EventRollback EventKind = "rollback"

	EventTimeTrusted EventKind = "time-trusted"
	EventStart       EventKind = "start"
	EventStop        EventKind = "stop"
)

// EventKinds are all kinds of events.
var EventKinds = []EventKind{EventDecision, EventReceipt, EventPolicy, EventSession, EventReport, EventAlarm,
	EventAcknowledged, EventStale, EventThrottle, EventFull, EventSignIn, EventSink, EventIntegration,
	EventRollback, EventTimeTrusted, EventStart, EventStop, EventBackup, EventRestore}

// Outcome is what came of a command.
type Outcome string

const (
	OutcomeDone    Outcome = "done"    // receipt: the actuator did it
	OutcomeRefused Outcome = "refused" // the actuator answered and did not do it
	OutcomeOffline Outcome = "offline" // no live session; nothing was sent
	OutcomeUnknown Outcome = "unknown" // sent, no receipt: the target's state is unknown
	OutcomeLate    Outcome = "late"    // not sent: too long after its cause
)

// Named is a record as an event remembers it: the name stays readable after the record is gone.
type Named struct {
	ID   access.ID `json:"id"`
	Name string    `json:"name"`
}

// Event is what happened. It is chained to the one before and never changed after.
type Event struct {
	Seq     uint64        `json:"seq"` // dense, from 1
	At      time.Time     `json:"at"`  // wall clock of the gateway, whether trusted or not
	Kind    EventKind     `json:"kind"`
	Device  Named         `json:"device,omitzero"`
	Target  Named         `json:"target,omitzero"`
	Person  Named         `json:"person,omitzero"`
	Card    string        `json:"card,omitempty"`  // last two bytes of the UID in hex
	Actor   string        `json:"actor,omitempty"` // who changed the policy, operated or signed in
	Source  access.Source `json:"source,omitempty"`
	Action  wire.Action   `json:"action,omitempty"`
	Level   uint8         `json:"level,omitempty"`
	Counter uint64        `json:"counter,omitempty"`
	Granted bool          `json:"granted,omitempty"`
	Reason  access.Reason `json:"reason,omitempty"`
	Rule    string        `json:"rule,omitempty"`
	Cause   uint64        `json:"cause,omitempty"` // sequence number of the decision that a receipt belongs to
	Outcome Outcome       `json:"outcome,omitempty"`
	Detail  string        `json:"detail,omitempty"`
	// ClockUntrusted is set on decisions made while the time was not trusted.
	ClockUntrusted bool      `json:"clockUntrusted,omitempty"`
	Digest         keys.Hash `json:"digest,omitzero"` // EventPolicy, EventStart: the policy digest (see the store)
	Prev           keys.Hash `json:"prev"`            // hash of the event before; zero for the first
	Hash           keys.Hash `json:"hash"`            // of this event, over its stored form with Prev
}
