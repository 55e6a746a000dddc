package doctor

import (
	"latchkey/coapres/transport"
	"latchkey/keys"
)

// Cause is why a handshake did not complete. The texts are stable.
type Cause string

const (
	CauseUnknownIdentity Cause = "unknown-identity" // no device has it
	CauseRevoked         Cause = "revoked"          // the identity belongs to a revoked key
	CauseWrongKey        Cause = "wrong-key"        // the identity is a device's, but the key is wrong
	CauseNoCommonSuite   Cause = "no-common-suite"  // no suite or curve in common, or no extended master secret
	CauseAbandoned       Cause = "abandoned"        // the peer stopped answering before it named itself
	CauseBusy            Cause = "busy"             // too many handshakes at once
	CauseFull            Cause = "full"             // as many sessions as there may be
	CauseMalformed       Cause = "malformed"        // a hello that cannot be used
)

// Causes lists all causes.
var Causes = []Cause{CauseUnknownIdentity, CauseRevoked, CauseWrongKey, CauseNoCommonSuite, CauseAbandoned,
	CauseBusy, CauseFull, CauseMalformed}

// CauseNames returns the texts of all causes.
func CauseNames() []string {
	names := make([]string, len(Causes))
	for i, c := range Causes {
		names[i] = string(c)
	}
	return names
}

// CauseOf returns the cause of a failed handshake. If no key was proven, it distinguishes three
// causes, which the peer must not learn. k is the key of the claimed identity, if known.
func CauseOf(c transport.Cause, k keys.Key, known bool) Cause {
	switch c {
	case transport.CauseKey:
		switch {
		case !known:
			return CauseUnknownIdentity
		case !k.State.Usable():
			return CauseRevoked
		}
		return CauseWrongKey
	case transport.CauseSuite:
		return CauseNoCommonSuite
	case transport.CauseAbandoned:
		return CauseAbandoned
	case transport.CauseBusy:
		return CauseBusy
	case transport.CauseFull:
		return CauseFull
	}
	return CauseMalformed
}
