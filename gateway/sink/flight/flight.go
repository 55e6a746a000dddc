// Package flight sends messages ahead of the server's confirmations, for protocols that confirm
// each message by itself. It keeps their order where a server refuses some of them, and sends none
// twice over one connection. It knows no protocol.
package flight

import (
	"context"

	"latchkey/gateway/sink/sender"
)

// Most is how many messages may be on their way at a time.
const Most = 128

// Link is a connection that messages are published on.
type Link interface {
	// Publish sends a message and does not wait for what the server says to it.
	Publish(ctx context.Context, m sender.Message) (Pending, error)
	// Route returns what decides where the server puts a message.
	Route(m sender.Message) string
}

// Pending is a message that was sent.
type Pending interface {
	// Wait waits until the server has settled the message, and returns true then: taken if the
	// error is nil. It returns false if the message is still on its way, or is lost. What was
	// settled stays so.
	Wait(ctx context.Context) (settled bool, err error)
}

// Flight are the messages that are on their way, and those that the server has taken although it
// has not taken one before them. The zero Flight is empty.
type Flight struct {
	window int             // how many messages may be on their way; 0 is 1
	routes map[string]bool // those on which this connection has delivered
	out    map[string]Pending
}

// Send sends the messages in order as [sender.Sender] demands. A message that is on its way since
// the last call is waited for, and not sent again.
//
// The first message of a connection, the first on a route, and the next after a failure go alone.
// So a server that takes nothing, or has no queue for some messages, says so before the messages
// behind are sent, which would otherwise overtake.
func (f *Flight) Send(ctx context.Context, l Link, batch []sender.Message) (taken int, err error) {
	f.forgetOthers(batch)
	for taken < len(batch) && err == nil {
		var n int
		n, err = f.sendRun(ctx, l, f.cutRun(l, batch[taken:]))
		taken += n
		f.window = min(2*max(f.window, 1), Most)
	}
	if err != nil {
		f.window = 1
	}
	return taken, err
}

// Reset forgets the connection. Call it when the connection is lost.
func (f *Flight) Reset() {
	f.window, f.routes = 1, nil
	over, cancel := context.WithCancel(context.Background())
	cancel()
	for id, p := range f.out {
		if settled, err := p.Wait(over); !settled || err != nil {
			delete(f.out, id)
		}
	}
}

func (f *Flight) forgetOthers(batch []sender.Message) {
	if f.out == nil {
		f.out = map[string]Pending{}
	}
	if len(f.out) == 0 {
		return
	}
	in := map[string]bool{}
	for _, m := range batch {
		in[m.ID] = true
	}
	for id := range f.out {
		if !in[id] {
			delete(f.out, id)
		}
	}
}

// cutRun returns the messages that may be on their way together.
func (f *Flight) cutRun(l Link, batch []sender.Message) []sender.Message {
	n := 1
	for n < len(batch) && n < f.window && f.routes[l.Route(batch[0])] && f.routes[l.Route(batch[n])] {
		n++
	}
	return batch[:n]
}

// sendRun publishes messages and then waits for each of them.
func (f *Flight) sendRun(ctx context.Context, l Link, run []sender.Message) (taken int, err error) {
	var failed error
	for i, m := range run {
		if f.out[m.ID] != nil {
			continue
		}
		p, err := l.Publish(ctx, m)
		if err != nil {
			run, failed = run[:i], err
			break
		}
		f.out[m.ID] = p
	}
	// All are waited for, also behind a failure: what comes later would be overtaken otherwise.
	taken = len(run)
	for i, m := range run {
		settled, err := f.out[m.ID].Wait(ctx)
		if err != nil && taken == len(run) {
			taken, failed = i, err
		}
		if settled && (err != nil || taken == len(run)) {
			delete(f.out, m.ID)
		}
		switch route := l.Route(m); {
		case !settled:
			return taken, failed
		case err != nil:
			delete(f.routes, route)
		default:
			f.addRoute(route)
		}
	}
	return taken, failed
}

func (f *Flight) addRoute(route string) {
	if f.routes == nil {
		f.routes = map[string]bool{}
	}
	f.routes[route] = true
}
