package rollback

import (
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"
)

// Kind is what a change of the policy takes away.
type Kind uint8

// The kinds. Their codes in head.log are stable; their numbers are not.
const (
	Lockdown Kind = iota
	KeyRevoked
	CardLost
	CardRemoved
	CardNarrowed // valid for a shorter time, or another person's
	PersonSuspended
	PersonRemoved
	AccountDisabled
	AccountDemoted
	AccountRemoved
	SignInRemoved // a password, one-time codes, a passkey or a token no longer lets somebody in
	SessionsEnded
	GrantRemoved
	GrantNarrowed
	GrantDenied // a grant that denies was added or changed
	GroupChanged
	GroupRemoved
	ScheduleChanged
	PINRemoved
	PINChanged
	DeviceRemoved
	DeviceMoved // taken from a door or lamp, or of another kind
	TargetRemoved
	IntegrationPaused
	IntegrationRemoved
	IntegrationMoved
	SinkPaused
	SinkRemoved
	SinkNarrowed
	Unjudged // a change that was made while head.log was not written
	kindCount
)

// names has the code of each kind in head.log, and how people call one of them and several.
var names = [kindCount]struct{ code, one, more string }{
	Lockdown:           {"lockdown", "lockdown", ""},
	KeyRevoked:         {"key-revoked", "revoked key", ""},
	CardLost:           {"card-lost", "lost card", ""},
	CardRemoved:        {"card-removed", "removed card", ""},
	CardNarrowed:       {"card-narrowed", "restricted card", ""},
	PersonSuspended:    {"person-suspended", "suspended person", "suspended persons"},
	PersonRemoved:      {"person-removed", "removed person", "removed persons"},
	AccountDisabled:    {"account-disabled", "disabled account", ""},
	AccountDemoted:     {"account-demoted", "demoted account", ""},
	AccountRemoved:     {"account-removed", "removed account", ""},
	SignInRemoved:      {"sign-in-removed", "removed way to sign in", "removed ways to sign in"},
	SessionsEnded:      {"sessions-ended", "account signed out", "accounts signed out"},
	GrantRemoved:       {"grant-removed", "removed grant", ""},
	GrantNarrowed:      {"grant-narrowed", "restricted grant", ""},
	GrantDenied:        {"grant-denied", "deny grant", ""},
	GroupChanged:       {"group-changed", "change of who is in a group", "changes of who is in a group"},
	GroupRemoved:       {"group-removed", "removed group", ""},
	ScheduleChanged:    {"schedule-changed", "changed schedule", ""},
	PINRemoved:         {"pin-removed", "removed PIN", ""},
	PINChanged:         {"pin-changed", "changed PIN", ""},
	DeviceRemoved:      {"device-removed", "removed device", ""},
	DeviceMoved:        {"device-moved", "moved device", ""},
	TargetRemoved:      {"target-removed", "removed door or lamp", "removed doors or lamps"},
	IntegrationPaused:  {"integration-paused", "paused integration", ""},
	IntegrationRemoved: {"integration-removed", "removed integration", ""},
	IntegrationMoved:   {"integration-moved", "moved integration", ""},
	SinkPaused:         {"sink-paused", "paused sink", ""},
	SinkRemoved:        {"sink-removed", "removed sink", ""},
	SinkNarrowed:       {"sink-narrowed", "restricted sink", ""},
	Unjudged: {"unjudged", "change of which head.log knows no more",
		"changes of which head.log knows no more"},
}

// findKind returns the kind with that code.
func findKind(code string) (Kind, bool) {
	for k := range kindCount {
		if names[k].code == code {
			return k, true
		}
	}
	return 0, false
}

// Counts says how many restrictions of each kind there are.
type Counts [kindCount]uint32

func (c *Counts) add(more Counts) {
	for k, n := range more {
		c[k] += min(n, ^uint32(0)-c[k])
	}
}

// Sum returns how many there are of all kinds.
func (c Counts) Sum() (n int) {
	for _, of := range c {
		n += int(of)
	}
	return n
}

// String returns them for people, such as "2 revoked keys and 1 lost card"; empty if there are none.
func (c Counts) String() string {
	var parts []string
	for k, n := range c {
		if n == 1 {
			parts = append(parts, "1 "+names[k].one)
		} else if n > 1 {
			parts = append(parts, humanize.Comma(int64(n))+" "+english.PluralWord(int(n), names[k].one,
				names[k].more))
		}
	}
	return english.WordSeries(parts, "and")
}

// codes returns them as they stand in head.log.
func (c Counts) codes() string {
	var b strings.Builder
	for k, n := range c {
		if n > 0 {
			fmt.Fprintf(&b, " %s=%d", names[k].code, n)
		}
	}
	return b.String()
}
