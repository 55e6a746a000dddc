package gateway

import (
	"os"
	"runtime/debug"
)

// LimitGarbage lets this process hold half as much garbage as Go's default. The sessions of thousands of
// nodes live long among the garbage of their handshakes, and what is left between them is never used
// again: with the default the memory is twice that of the sessions. A program that is a gateway and little
// else calls it when it starts. GOGC in the environment takes precedence.
func LimitGarbage() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
}
