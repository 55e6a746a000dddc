package transport

import "net/netip"

// Failure is one handshake that did not complete.
type Failure struct {
	Addr     netip.AddrPort
	Identity string // as the peer claimed it, not proven, any bytes; empty if none came
	Cause    Cause
}

// Cause is why a handshake did not complete, as far as the wire tells.
type Cause string

const (
	CauseKey       Cause = "key"       // an identity came and its key was not proven: unknown, revoked and wrong look the same on the wire
	CauseSuite     Cause = "suite"     // no common cipher suite or curve, or no extended master secret
	CauseAbandoned Cause = "abandoned" // the peer stopped answering before the key exchange
	CauseBusy      Cause = "busy"      // too many handshakes at once
	CauseFull      Cause = "full"      // as many sessions as there may be
	CauseMalformed Cause = "malformed" // a hello that we cannot use, like one in fragments
)
