package transport

import "net/netip"

// Failure is a handshake that did not complete.
type Failure struct {
	Addr     netip.AddrPort
	Identity string // as the peer claimed it: not proven, any bytes; empty if none came
	Cause    Cause
}

// Cause is why a handshake did not complete.
type Cause string

const (
	// An identity came, but its key was not proven: unknown, revoked or wrong, which look alike.
	CauseKey       Cause = "key"
	CauseSuite     Cause = "suite"     // no common cipher suite or curve, or no extended master secret
	CauseAbandoned Cause = "abandoned" // the peer stopped answering, or closed at once
	CauseBusy      Cause = "busy"      // more handshakes than are allowed at once
	CauseFull      Cause = "full"      // as many sessions as there may be
	CauseMalformed Cause = "malformed" // a ClientHello that cannot be read, or came in pieces
)
