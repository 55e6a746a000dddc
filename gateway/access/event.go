package access

import (
	"encoding/hex"
	"time"

	"latchkey/coapres/wire"
)

// EventKind is what an event is about. The texts are stable.
type EventKind string

const (
	EventDecision EventKind = "decision" // an attempt was decided; its sequence number is the command's id
	EventReceipt  EventKind = "receipt"  // what came of the command of the decision in Cause
	EventPolicy   EventKind = "policy"   // records were changed; Detail says how, Digest is the policy's
	EventSession  EventKind = "session"  // Detail: registered, replaced, offline, closed, revoked
	EventAlarm    EventKind = "alarm"    // Reason: forced or tampered, at Target; it stays until it is acknowledged. With Cause it tells of that alarm again
	// EventAcknowledged says that Actor has taken note of the alarm in Cause; Detail is a remark.
	EventAcknowledged EventKind = "acknowledged"
	EventStale        EventKind = "stale"    // a scan came so late after the tap that it was not decided; Counter is its
	EventThrottle     EventKind = "throttle" // a reader is slowed after too many unknown cards
	EventFull         EventKind = "full"     // a handshake was refused, there are as many sessions as may be; Device is as the peer claimed it
	EventReport       EventKind = "report"   // a node reported something that is not routine (exit button, boot)
	EventSignIn       EventKind = "sign-in"  // somebody signed in at the console as Actor, or was refused; Detail says from where and how
	EventTimeTrusted  EventKind = "time-trusted"
	EventStart        EventKind = "start"
	EventStop         EventKind = "stop"
)

// EventKinds are all kinds of events.
var EventKinds = []EventKind{EventDecision, EventReceipt, EventPolicy, EventSession, EventReport, EventAlarm, EventAcknowledged, EventStale, EventThrottle, EventFull, EventSignIn, EventTimeTrusted,
	EventStart, EventStop}

// Outcome is what came of a command.
type Outcome string

const (
	OutcomeDone    Outcome = "done"    // receipt: the actuator did it
	OutcomeRefused Outcome = "refused" // the actuator answered and did not do it
	OutcomeOffline Outcome = "offline" // no live session; nothing was sent
	OutcomeUnknown Outcome = "unknown" // sent, no receipt: the target's state is unknown
	OutcomeLate    Outcome = "late"    // not sent: too long after its cause
)

// Hash is a SHA-256 value.
type Hash [32]byte

func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText implements [encoding.TextMarshaler].
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (h *Hash) UnmarshalText(b []byte) error { return (*CredentialID)(h).UnmarshalText(b) }

// Named is a record as an event remembers it: the name stays readable after the record is gone.
type Named struct {
	ID   ID     `json:"id"`
	Name string `json:"name"`
}

// Event is what happened. It is chained to the one before and never changed after.
type Event struct {
	Seq     uint64      `json:"seq"` // dense, from 1
	At      time.Time   `json:"at"`  // wall clock of the gateway, whether trusted or not
	Kind    EventKind   `json:"kind"`
	Device  Named       `json:"device,omitzero"`
	Target  Named       `json:"target,omitzero"`
	Person  Named       `json:"person,omitzero"`
	Card    string      `json:"card,omitempty"`  // last two bytes of the UID in hex
	Actor   string      `json:"actor,omitempty"` // who made a policy change or an operator's attempt, or signed in
	Source  Source      `json:"source,omitempty"`
	Action  wire.Action `json:"action,omitempty"`
	Level   uint8       `json:"level,omitempty"`
	Counter uint64      `json:"counter,omitempty"`
	Granted bool        `json:"granted,omitempty"`
	Reason  Reason      `json:"reason,omitempty"`
	Rule    string      `json:"rule,omitempty"`
	Cause   uint64      `json:"cause,omitempty"` // sequence number of the decision that a receipt belongs to
	Outcome Outcome     `json:"outcome,omitempty"`
	Detail  string      `json:"detail,omitempty"`
	// ClockUntrusted is set on decisions made while the time was not trusted.
	ClockUntrusted bool `json:"clockUntrusted,omitempty"`
	Digest         Hash `json:"digest,omitzero"` // EventPolicy, EventStart: the policy digest (see the store)
	Prev           Hash `json:"prev"`            // hash of the event before; zero for the first
	Hash           Hash `json:"hash"`            // of this event, over its stored form with Prev
}
