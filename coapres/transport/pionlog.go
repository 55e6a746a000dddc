package transport

import (
	"io"

	"github.com/pion/logging"
)

// quiet drops pion's log, which holds bytes from the network. What matters is logged by this
// package, once.
var quiet = silence{logging.NewDefaultLeveledLoggerForScope("", logging.LogLevelDisabled, io.Discard)}

type silence struct{ *logging.DefaultLeveledLogger }

// NewLogger returns s itself: one logger serves all.
func (s silence) NewLogger(string) logging.LeveledLogger { return s }
