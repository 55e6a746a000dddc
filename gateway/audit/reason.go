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

// Reasons of an [EventRollback].
const (
	ReasonOlderCopy  access.Reason = "older-copy"  // the store lacks the newest events
	ReasonOtherChain access.Reason = "other-chain" // it has other events: an older copy that went on
	ReasonNoFile     access.Reason = "no-file"     // there was a head.log, and it is gone
	ReasonBadFile    access.Reason = "bad-file"    // a part of head.log is lost
	ReasonNodeAhead  access.Reason = "node-ahead"  // Device obeyed a command that the store does not know
	ReasonNodeOther  access.Reason = "node-other"  // the store has another event in place of that command
	ReasonNodeWrong  access.Reason = "node-wrong"  // what Device says cannot be
)

// Reasons are all reasons that an event may have: those of decisions, and these.
var Reasons = append(slices.Clip(access.Reasons), ReasonForced, ReasonTampered, ReasonRefused, ReasonFailing,
	ReasonRecovered, ReasonRetained, ReasonOversized, ReasonUnknown, ReasonRepeated, ReasonLate, ReasonRate,
	ReasonCode, ReasonPaused, ReasonOlderCopy, ReasonOtherChain, ReasonNoFile, ReasonBadFile, ReasonNodeAhead,
	ReasonNodeOther, ReasonNodeWrong)
