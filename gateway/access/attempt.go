package access

import (
	"time"

	"latchkey/coapres/wire"
	"latchkey/keys"
)

// Source is what caused an attempt. The zero source is refused.
type Source string

const (
	ByCard     Source = "card"     // a scan at a reader
	ByDevice   Source = "device"   // a switch asked
	ByOperator Source = "operator" // somebody with the admin API
)

// Attempt is one request to move a target, as the policy sees it. [Decide] looks at nothing but the
// attempt and the policy.
type Attempt struct {
	Source     Source
	Device     ID           // the reader or switch; empty for an operator
	Key        keys.ID      // of the session it came in; empty outside a session, as in an explanation
	Credential CredentialID // for ByCard
	Tail       string       // last two bytes of the UID in hex, for the event
	Operator   string       // who, for ByOperator; for the event
	Target     ID           // a reader's own target; what a switch or operator named
	Action     wire.Action
	Level      uint8  // 0…100, for wire.Level
	Counter    uint64 // 1…2^53−1 for card and device; 0 for an operator
	Last       uint64 // the last counter taken from this device, 0 if none: filled in by the store's writer
	At         time.Time
	// ClockTrusted is false when the wall clock may be wrong. Then every rule that depends on time
	// denies, and grants that are always valid still allow.
	ClockTrusted bool
}

// Reason is why a decision came out as it did. The texts are stable: they stand in events, JSON and
// metrics.
type Reason string

const (
	ReasonGranted         Reason = "granted"
	ReasonReplayed        Reason = "replayed"       // the counter is not above the last one
	ReasonUnknownDevice   Reason = "unknown-device" // no such device, or its kind may not ask
	ReasonKeyRevoked      Reason = "key-revoked"    // the key of its session opens nothing any more
	ReasonUnknownTarget   Reason = "unknown-target" // no such target, or not one of this device's
	ReasonWrongAction     Reason = "wrong-action"   // the action does not fit the target
	ReasonLockdown        Reason = "lockdown"       // doors are closed for all
	ReasonUnknownCard     Reason = "unknown-card"
	ReasonCardLost        Reason = "card-lost"
	ReasonCardNotYetValid Reason = "card-not-yet-valid"
	ReasonCardExpired     Reason = "card-expired"
	ReasonPersonSuspended Reason = "person-suspended"
	ReasonDenyGrant       Reason = "deny-grant"       // a grant with effect deny
	ReasonOutsideSchedule Reason = "outside-schedule" // a grant would fit at another time
	ReasonGrantNotYet     Reason = "grant-not-yet-valid"
	ReasonGrantExpired    Reason = "grant-expired"
	ReasonClockUntrusted  Reason = "clock-untrusted" // a grant would need the time of day
	ReasonNoGrant         Reason = "no-grant"        // nothing allows it
	ReasonInternal        Reason = "internal"        // a record is inconsistent; stays shut
)

// Reasons are all reasons.
var Reasons = []Reason{ReasonGranted, ReasonReplayed, ReasonUnknownDevice, ReasonKeyRevoked,
	ReasonUnknownTarget, ReasonWrongAction, ReasonLockdown, ReasonUnknownCard, ReasonCardLost,
	ReasonCardNotYetValid, ReasonCardExpired, ReasonPersonSuspended, ReasonDenyGrant,
	ReasonOutsideSchedule, ReasonGrantNotYet, ReasonGrantExpired, ReasonClockUntrusted, ReasonNoGrant,
	ReasonInternal}

// Decision is the answer to an attempt. The zero Decision denies. Rule is the id of the grant that
// decided, or the name of the step in the evaluation list.
type Decision struct {
	Granted bool   `json:"granted"`
	Reason  Reason `json:"reason"`
	Rule    string `json:"rule"`
	Person  ID     `json:"person,omitempty"` // who holds the card, if known
}

// Step is one line of an explanation: a rule that was looked at and what came of it.
type Step struct {
	Rule    string `json:"rule"`    // name of the step, or a grant's id
	Outcome string `json:"outcome"` // "pass", "deny", "allow" or "skip"
	Detail  string `json:"detail"`  // for people; names, no ids
}
