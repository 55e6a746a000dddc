package gateway

import (
	"context"
	"errors"
	"sync"
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/session"
	"latchkey/gateway/transport"
)

// asksAfter is when a lock is asked for its state once its pulse should have ended: then, and again while it has not
// said that it is off. The first is a little later than the end, which two clocks do not see at the same moment.
var asksAfter = []time.Duration{50 * time.Millisecond, time.Second, 3 * time.Second}

// askPause is the least time between questions to a lock that goes on naming another end.
const askPause = time.Second

// confirmations are the timers of locks whose pulse is to be confirmed as over. The zero value is ready for use.
type confirmations struct {
	mu     sync.Mutex
	timers map[string]*time.Timer // guarded by mu; by device
	shut   bool                   // guarded by mu; no new ones
}

// set calls f after d, and nothing else that was set for the device.
func (c *confirmations) set(device string, d time.Duration, f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := c.timers[device]; t != nil {
		t.Stop()
		delete(c.timers, device)
	}
	if c.shut || f == nil {
		return
	}
	if c.timers == nil {
		c.timers = map[string]*time.Timer{}
	}
	c.timers[device] = time.AfterFunc(d, f)
}

// clear drops what was set for the device.
func (c *confirmations) clear(device string) { c.set(device, 0, nil) }

// close stops all timers and takes no new ones.
func (c *confirmations) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shut = true
	for _, t := range c.timers {
		t.Stop()
	}
	clear(c.timers)
}

// expectEnd sees to it that a lock is asked when the pulse that it spoke of should have ended, but not before soonest.
func (g *Gateway) expectEnd(device string, soonest time.Time) {
	v, ok := g.sessions.View(device, time.Now())
	switch {
	case !ok || !v.Known:
		return // the next reading tells
	case !v.State.On:
		g.confirms.clear(device)
		return
	case v.State.Left == 0:
		return // on without an end, or about to let go: what is set to ask again does
	}
	end := v.StateAt.Add(time.Duration(v.State.Left) * time.Millisecond)
	if end.Before(soonest) {
		end = soonest
	}
	g.confirm(device, end, 0)
}

// confirm asks for a device's state when its pulse should be over, and again while that is not known.
func (g *Gateway) confirm(device string, end time.Time, try int) {
	g.confirms.set(device, time.Until(end.Add(asksAfter[try])), func() {
		if next := try + 1; next < len(asksAfter) {
			g.confirm(device, end, next) // an answer clears it
		}
		g.background(func() {
			known, err := g.read(device, time.Now().Add(askPause))
			if !known && errors.Is(err, session.ErrOffline) {
				g.confirms.clear(device) // a new session is read as it begins
			}
		})
	})
}

// refresh reads an actuator's state in the background: what is known of it, and an Echo for the next command.
func (g *Gateway) refresh(device string) {
	g.background(func() { _, _ = g.read(device, time.Time{}) }) // read has logged it
}

// read asks an actuator for its state and follows what it says. If it is in a pulse, it is asked again at the end of
// that, but not before soonest.
func (g *Gateway) read(device string, soonest time.Time) (known bool, err error) {
	p, ok := g.sessions.Peer(device)
	if !ok {
		return false, session.ErrOffline
	}
	known, err = g.sessions.Refresh(context.Background(), p)
	if c, ok := p.Caller.(*transport.Conn); ok && err == nil {
		g.addresses.note(access.ID(p.Device), c.Home())
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		g.log.Warn("state not read", "device", p.Name, "err", err)
	}
	if !known {
		return false, err
	}
	if p.Kind == wire.KindLock {
		g.sensedBy(p, false)
		g.expectEnd(device, soonest)
	}
	g.keepShut(device)
	return true, nil
}
