package transport

import (
	"io"
	"sync/atomic"

	"github.com/pion/logging"
)

// pionLog counts what pion only logs, and keeps its log out otherwise: it formats what came by
// radio. What matters is logged here, once.
type pionLog struct {
	*logging.DefaultLeveledLogger
	undecryptable, replayed atomic.Uint64
}

func newPionLog() *pionLog {
	return &pionLog{DefaultLeveledLogger: logging.NewDefaultLeveledLoggerForScope("",
		logging.LogLevelDisabled, io.Discard)}
}

// NewLogger makes a pionLog its own factory: one serves all.
func (l *pionLog) NewLogger(string) logging.LeveledLogger { return l }

// Debugf knows a line by its format, as pion v3.1.15 has it.
func (l *pionLog) Debugf(format string, _ ...any) {
	switch format {
	case "%s: decrypt failed: %s":
		l.undecryptable.Add(1)
	case "discarded duplicated packet (epoch: %d, seq: %d)":
		l.replayed.Add(1)
	}
}
