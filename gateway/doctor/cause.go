package doctor

import (
	"latchkey/coapres/transport"
	"latchkey/keys"
)

// Cause is why a handshake did not complete. The texts are stable.
type Cause string

const (
	CauseUnknownIdentity Cause = "unknown-identity" // no device has it
	CauseRevoked         Cause = "revoked"          // the identity of a key that opens nothing any more
	CauseWrongKey        Cause = "wrong-key"        // the identity is a device's, the key is not
	CauseNoCommonSuite   Cause = "no-common-suite"  // no suite or curve in common, or no extended master secret
	CauseAbandoned       Cause = "abandoned"        // the peer stopped answering before it named itself
	CauseBusy            Cause = "busy"             // too many handshakes at once
	CauseFull            Cause = "full"             // as many sessions as there may be
	CauseMalformed       Cause = "malformed"        // a hello that cannot be used
)

// Causes are all of them.
var Causes = []Cause{CauseUnknownIdentity, CauseRevoked, CauseWrongKey, CauseNoCommonSuite, CauseAbandoned,
	CauseBusy, CauseFull, CauseMalformed}

// CauseNames are the texts of all causes.
func CauseNames() []string {
	names := make([]string, len(Causes))
	for i, c := range Causes {
		names[i] = string(c)
	}
	return names
}

// CauseOf says what the wire must not: which of the three it was when a key was not proven. k is
// the key of the identity that the peer claimed, if there is one.
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
