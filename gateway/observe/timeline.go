package observe

import (
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/audit"
)

// Timeline says when each step of one attempt was done. A step that was not reached is zero.
type Timeline struct {
	Received     time.Time // its datagram, or HTTP request, was read
	Fresh        time.Time // its freshness was proven
	Decided      time.Time
	Durable      time.Time // decision and counter are on disk
	Commanded    time.Time // the command was handed to the actuator's session
	Acknowledged time.Time // its receipt came

	Seq      uint64 // of the decision's event
	Device   string // its name; the operator's name if no device asked
	Target   string
	Decision access.Decision
	Outcome  audit.Outcome // of the command; empty if there was none
	Holds    time.Duration // how long the lock holds an unlock, as it said; 0: it did not say
	Repeated bool          // a repetition of a decided attempt: nothing was done
}
