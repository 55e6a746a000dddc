package transport

import (
	"io"
	"sync/atomic"

	"github.com/pion/logging"
)

// pionLog counts two things that pion only logs, and drops the rest of pion's log, which holds
// bytes from the network. What matters is logged by this package, once.
type pionLog struct {
	*logging.DefaultLeveledLogger
	undecryptable, replayed atomic.Uint64
}

func newPionLog() *pionLog {
	return &pionLog{DefaultLeveledLogger: logging.NewDefaultLeveledLoggerForScope("",
		logging.LogLevelDisabled, io.Discard)}
}

// NewLogger returns l itself: one logger serves all.
func (l *pionLog) NewLogger(string) logging.LeveledLogger { return l }

// Debugf recognises a line by its format, as in pion v3.1.15.
func (l *pionLog) Debugf(format string, _ ...any) {
	switch format {
	case "%s: decrypt failed: %s":
		l.undecryptable.Add(1)
	case "discarded duplicated packet (epoch: %d, seq: %d)":
		l.replayed.Add(1)
	}
}
