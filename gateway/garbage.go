package gateway

import (
	"os"
	"runtime/debug"
)

// LimitGarbage lets this process hold half as much garbage as Go's default. Sessions live long, scattered
// among the garbage of their handshakes, and Go never moves an object to fill a gap: each of 10,000
// sessions takes 8.4 KB with the default and 6.2 KB with this. A program that is a gateway and little else
// calls it when it starts. GOGC in the environment takes precedence.
func LimitGarbage() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
}
