package audit

import (
	"slices"

	"latchkey/gateway/access"
	"latchkey/gateway/door"
)

// Reasons of an [EventAlarm] and an [EventAcknowledged].
const (
	ReasonForced   = access.Reason(door.Forced)
	ReasonTampered = access.Reason(door.Tampered)
)

// ReasonRefused is the reason of an [EventSignIn] of somebody who was refused.
const ReasonRefused access.Reason = "refused"

// Reasons of an [EventSink].
const (
	ReasonFailing   access.Reason = "failing"   // the first failure after it worked
	ReasonRecovered access.Reason = "recovered" // it has worked for a while since the last failure
)

// Reasons of an [EventIntegration]: why a command was refused before it was decided, in the order in
// which they are looked for. The last one is not about a command.
const (
	ReasonRetained  access.Reason = "retained"  // the broker has kept it, or would
	ReasonOversized access.Reason = "oversized" // longer than a command may be
	ReasonUnknown   access.Reason = "unknown"   // not a command that we know, or not a target
	ReasonRepeated  access.Reason = "repeated"  // it does not carry the target's present echo
	ReasonLate      access.Reason = "late"      // its time is too far from ours, or its echo too old
	ReasonRate      access.Reason = "rate"      // too many commands
	ReasonCode      access.Reason = "code"      // no code is checked now, after too many wrong ones
	ReasonPaused    access.Reason = "paused"    // the integration was paused
)

// Reasons are all reasons that an event may have: those of decisions, and these.
var Reasons = append(slices.Clip(access.Reasons), ReasonForced, ReasonTampered, ReasonRefused, ReasonFailing,
	ReasonRecovered, ReasonRetained, ReasonOversized, ReasonUnknown, ReasonRepeated, ReasonLate, ReasonRate,
	ReasonCode, ReasonPaused)
