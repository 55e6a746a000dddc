package simulate

import (
	"context"
	"io"
	"log/slog"

	"latchkey/cli/terminal"
	"latchkey/coapres/device"
)

// notices reads the log of a simulated node, which has a record for each session that failed or
// ended. It turns these records into two messages for a person: the session was lost, and there is
// a new one.
type notices struct {
	of     *device.Device // set before it runs
	failed chan int       // holds the newest: how many sessions there were when an attempt failed
}

func newNotices() *notices { return &notices{failed: make(chan int, 1)} }

func (n *notices) Enabled(context.Context, slog.Level) bool { return true }
func (n *notices) WithAttrs([]slog.Attr) slog.Handler       { return n }
func (n *notices) WithGroup(string) slog.Handler            { return n }

// Handle never waits for the reader of the notices. Only the node calls it, one record at a time.
func (n *notices) Handle(context.Context, slog.Record) error {
	select {
	case <-n.failed:
	default:
	}
	n.failed <- n.of.Sessions()
	return nil
}

// tell writes notices until ctx ends.
func (n *notices) tell(ctx context.Context, w io.Writer, name string) {
	for told := 0; ; {
		select {
		case <-ctx.Done():
			return
		case session := <-n.failed:
			if session == told { // one more attempt in vain
				continue
			}
			told = session
		}
		terminal.PrintLine(w, name+": session lost, trying again")
		if n.of.Ready(ctx) != nil {
			return
		}
		terminal.PrintLine(w, name+": connected again")
	}
}
