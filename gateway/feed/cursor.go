package feed

import (
	"context"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/audit"
)

// page is how many events a cursor reads at once.
const page = 256

// News is what a cursor found: events in the order of the chain, each once, and devices that
// changed, each at most once. The subscriber looks up the present state of a device itself.
type News struct {
	Events  []audit.Event
	Devices []access.ID
}

func (n News) empty() bool { return len(n.Events) == 0 && len(n.Devices) == 0 }

// Cursor is a subscriber's place. It is for one goroutine.
type Cursor struct {
	feed    *Feed
	next    uint64 // the event that comes next
	devices bool   // whether to report devices
	seen    uint64 // the last change of a device that was reported
}

// Events subscribes to the events from a sequence number upwards. 0 means only those that come
// after now.
func (f *Feed) Events(from uint64) *Cursor {
	if from == 0 {
		head, _ := f.chain.Head()
		from = head + 1
	}
	return &Cursor{feed: f, next: from}
}

// All subscribes to events as Events does, and to devices that change from now on.
func (f *Feed) All(from uint64) *Cursor {
	c := f.Events(from)
	c.devices = true
	_, c.seen = f.since(^uint64(0))
	return c
}

// Next waits until there is something new and returns it. If ctx ends or the chain cannot be read,
// it returns that error and the cursor does not move.
func (c *Cursor) Next(ctx context.Context) (News, error) {
	for {
		// Take the channels first, then look, so that nothing in between is missed.
		events := c.feed.chain.Changed()
		var devices <-chan struct{} // nil: never
		if c.devices {
			devices = c.feed.changed()
		}
		news, err := c.look(ctx)
		if err != nil || !news.empty() {
			return news, err
		}
		select {
		case <-events:
		case <-devices:
		case <-ctx.Done():
			return News{}, ctx.Err()
		}
	}
}

// look returns what is new, without waiting.
func (c *Cursor) look(ctx context.Context) (News, error) {
	events, err := c.feed.chain.Events(ctx, c.next, page)
	if err != nil {
		return News{}, err
	}
	news := News{Events: events}
	if n := len(events); n > 0 {
		c.next = events[n-1].Seq + 1
	}
	if c.devices {
		news.Devices, c.seen = c.feed.since(c.seen)
	}
	return news, nil
}

// Await waits until there is an event with that number, but at most for d and until ctx ends.
func (f *Feed) Await(ctx context.Context, seq uint64, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	for {
		changed := f.chain.Changed()
		if head, _ := f.chain.Head(); head >= seq {
			return
		}
		select {
		case <-changed:
		case <-t.C:
			return
		case <-ctx.Done():
			return
		}
	}
}
