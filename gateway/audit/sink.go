package audit

import (
	"time"

	"latchkey/keys"
)

// SinkCursor is how far a sink has got: to the newest event up to which the server has taken all
// that it is sent.
type SinkCursor struct {
	Epoch uint64 // of the chain
	Seq   uint64
	Hash  keys.Hash // of that event; zero if Seq is
	// Failing is since when the sink fails; zero if it does not. An [EventSink] tells of it.
	Failing time.Time
}

// DeadLetter points to an event that a sink's server refused. The event itself is in the chain.
type DeadLetter struct {
	Seq   uint64
	Why   string // short
	Tries int
	At    time.Time // of the last try
}
