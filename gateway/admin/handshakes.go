package admin

import (
	"slices"
	"strings"
	"time"

	"latchkey/gateway/access"
	"latchkey/keys"
)

// Cause is why a handshake did not complete. The texts are stable.
type Cause string

const (
	CauseUnknownIdentity Cause = "unknown-identity" // no device has it
	CauseRevoked         Cause = "revoked"          // the identity of a key that opens nothing any more
	CauseWrongKey        Cause = "wrong-key"        // the identity is a device's, the key is not
	CauseNoCommonSuite   Cause = "no-common-suite"  // no cipher suite or curve in common, or no extended master secret
	CauseAbandoned       Cause = "abandoned"        // the peer stopped answering before it named itself
	CauseBusy            Cause = "busy"             // too many handshakes at once
	CauseFull            Cause = "full"             // as many sessions as there may be
	CauseMalformed       Cause = "malformed"        // a hello that cannot be used
)

// Causes are all of them.
var Causes = []Cause{CauseUnknownIdentity, CauseRevoked, CauseWrongKey, CauseNoCommonSuite, CauseAbandoned, CauseBusy, CauseFull, CauseMalformed}

// Handshakes is what a running gateway remembers of handshakes. It is bounded, so old failures give way to new ones.
type Handshakes struct {
	Since         time.Time // nothing is known from before
	Counts        []Count   // one for each cause
	Failures      []Failure // newest first
	Completed     map[keys.ID]time.Time
	Live, MaxLive int // sessions, and how many there may be
}

// Count is how often something was the cause.
type Count struct {
	Cause Cause     `json:"cause"`
	Count uint64    `json:"count"`
	Last  time.Time `json:"last,omitzero"`
}

// Failure is the handshakes of one identity, or of one address where none came, that failed for one cause.
type Failure struct {
	Cause    Cause     `json:"cause" doc:"unknown-identity, revoked, wrong-key, no-common-suite, abandoned, full or malformed"`
	Identity string    `json:"identity,omitempty" doc:"as it was claimed, which proves nothing: what cannot be printed is escaped as in Go, and the rest after 64 bytes left out"`
	Device   Ref       `json:"device,omitzero" doc:"whose key has that identity"`
	Near     []Near    `json:"near,omitempty" doc:"identities that it may be a slip of; only where a finding says so"`
	Addr     string    `json:"addr" doc:"where the last one came from, which proves nothing either"`
	Count    uint64    `json:"count"`
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
}

// Near is an identity that another one may be a slip of.
type Near struct {
	Identity keys.ID `json:"identity"`
	Device   Ref     `json:"device"`
}

// SecretShown stands for an identity that reads like a secret: it was put into the wrong field.
const SecretShown = "[a secret]"

// maxNear bounds how many are named.
const maxNear = 3

// nearest returns the identities of usable keys that text may be a slip of: at most two characters are wrong, missing or too many, besides
// capitals and spaces around it; or it is the name of a device, which is no identity.
func nearest(p *access.Policy, text string) (near []Near) {
	add := func(k keys.Key) {
		if k.State.Usable() && len(near) < maxNear {
			near = append(near, Near{k.ID, deviceRef(p, k.Device)})
		}
	}
	text = slipless(text)
	if d, ok := p.DeviceByName(text); ok {
		for _, k := range p.KeysOf(d.ID) {
			add(k)
		}
		return near
	}
	for _, k := range p.Keys {
		if isNear(text, string(k.ID)) {
			add(k)
		}
	}
	slices.SortFunc(near, func(a, b Near) int { return strings.Compare(string(a.Identity), string(b.Identity)) })
	return near
}
