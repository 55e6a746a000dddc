package access

import (
	"time"

	"latchkey/coapres/wire"
	"latchkey/keys"
)

// Source is what caused an attempt. The zero source is refused.
type Source string

const (
	ByCard        Source = "card"        // a scan at a reader
	ByDevice      Source = "device"      // a request of a switch
	ByOperator    Source = "operator"    // somebody with the admin API
	ByIntegration Source = "integration" // somebody else's system, such as Home Assistant
)

// Attempt is one request to move a target, as the policy sees it. [Decide] looks at nothing but the
// attempt and the policy.
type Attempt struct {
	Source     Source
	Device     ID           // the reader or switch; else empty
	Key        keys.ID      // of the session that it came in; empty outside a session, as in an explanation
	Credential CredentialID // for ByCard
	Tail       string       // last two bytes of the UID in hex, for the event
	Operator   string       // name of the operator or the integration, for the event
	// Integration and Code are for ByIntegration. Code is the hash that the code in the request was
	// found to match; zero: none. A grant whose code has changed meanwhile has another hash.
	Integration ID
	Code        keys.Hidden
	Target      ID // a reader's own target, or the one that was named
	Action      wire.Action
	Level       uint8  // 0…100, for wire.Level
	Counter     uint64 // 1…2^53−1 for card and device; else 0
	Last        uint64 // the last counter taken from this device, 0 if none: filled in by the store's writer
	At          time.Time
	// ClockTrusted is false if the wall clock may be wrong. Then every rule that depends on time
	// denies, while grants without a time still allow.
	ClockTrusted bool
}

// Reason says why a decision grants or denies. The texts are stable: they are in events, JSON and
// metrics.
type Reason string

const (
	ReasonGranted            Reason = "granted"
	ReasonReplayed           Reason = "replayed"       // the counter is not above the last one
	ReasonUnknownDevice      Reason = "unknown-device" // no such device, or its kind may not make this request
	ReasonKeyRevoked         Reason = "key-revoked"    // the key of its session is revoked
	ReasonUnknownTarget      Reason = "unknown-target" // no such target, or not one of this device's
	ReasonWrongAction        Reason = "wrong-action"   // the action does not fit the target
	ReasonLockdown           Reason = "lockdown"       // doors stay shut for everybody
	ReasonUnknownCard        Reason = "unknown-card"
	ReasonCardLost           Reason = "card-lost"
	ReasonCardNotYetValid    Reason = "card-not-yet-valid"
	ReasonCardExpired        Reason = "card-expired"
	ReasonPersonSuspended    Reason = "person-suspended"
	ReasonDenyGrant          Reason = "deny-grant"       // a grant with effect deny
	ReasonOutsideSchedule    Reason = "outside-schedule" // a grant would fit at another time
	ReasonGrantNotYet        Reason = "grant-not-yet-valid"
	ReasonGrantExpired       Reason = "grant-expired"
	ReasonClockUntrusted     Reason = "clock-untrusted" // a grant depends on the time of day
	ReasonNoGrant            Reason = "no-grant"        // nothing allows it
	ReasonUnknownIntegration Reason = "unknown-integration"
	ReasonIntegrationPaused  Reason = "integration-paused"
	ReasonCodeNeeded         Reason = "code-needed" // a grant asks for a code, and none came
	ReasonWrongCode          Reason = "wrong-code"  // not the one that the grant asks for
	ReasonInternal           Reason = "internal"    // a record is inconsistent; the door stays shut
)

// Reasons holds all reasons of decisions.
var Reasons = []Reason{ReasonGranted, ReasonReplayed, ReasonUnknownDevice, ReasonKeyRevoked,
	ReasonUnknownTarget, ReasonWrongAction, ReasonLockdown, ReasonUnknownCard, ReasonCardLost,
	ReasonCardNotYetValid, ReasonCardExpired, ReasonPersonSuspended, ReasonDenyGrant,
	ReasonOutsideSchedule, ReasonGrantNotYet, ReasonGrantExpired, ReasonClockUntrusted, ReasonNoGrant,
	ReasonUnknownIntegration, ReasonIntegrationPaused, ReasonCodeNeeded, ReasonWrongCode, ReasonInternal}

// Decision is the answer to an attempt. The zero Decision denies. Rule is the id of the grant that
// decided, or the name of the step in the evaluation list.
type Decision struct {
	Granted bool   `json:"granted"`
	Reason  Reason `json:"reason"`
	Rule    string `json:"rule"`
	Person  ID     `json:"person,omitempty"` // who holds the card, or whose code it was, if known
}

// Step is one line of an explanation: a rule that was checked, and its result.
type Step struct {
	Rule    string `json:"rule"`    // name of the step, or a grant's id
	Outcome string `json:"outcome"` // "pass", "deny", "allow" or "skip"
	Detail  string `json:"detail"`  // for people; names, no ids
}
