package gateway

import (
	"context"
	"errors"
	"sync"
	"time"

	"latchkey/coapres/transport"
	"latchkey/gateway/access"
	"latchkey/gateway/session"
	"latchkey/keys"
)

// asksAfter is when a lock is asked for its state once its pulse should have ended: then, and again while it has not
// said that it is off. The first is a little later than the end, which two clocks do not see at the same moment.
var asksAfter = []time.Duration{50 * time.Millisecond, time.Second, 3 * time.Second}

// askPause is the least time between questions to a lock that goes on naming another end.
const askPause = time.Second

// confirmations ask locks whose pulse should be over. One timer a device is used again and again: each granted scan sets
// it. ask must be set before the first use.
type confirmations struct {
	ask func(device access.ID)

	mu      sync.Mutex
	pending map[access.ID]*confirmation // guarded by mu; by device
	shut    bool                        // guarded by mu; no new ones
}

// confirmation is what is set for one device.
type confirmation struct {
	timer *time.Timer
	end   time.Time // of the pulse; zero: nothing is to be asked
	try   int       // of asksAfter, the next one
}

// expect has the device asked after end, and again while nothing clears it.
func (c *confirmations) expect(device access.ID, end time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.shut {
		return
	}
	p := c.pending[device]
	if p == nil {
		if c.pending == nil {
			c.pending = map[access.ID]*confirmation{}
		}
		p = &confirmation{timer: time.AfterFunc(time.Hour, func() { c.due(device) })}
		c.pending[device] = p
	}
	p.end, p.try = end, 0
	p.timer.Reset(time.Until(end.Add(asksAfter[0])))
}

// due asks a device, and sets when it is asked again.
func (c *confirmations) due(device access.ID) {
	c.mu.Lock()
	p := c.pending[device]
	if p == nil || p.end.IsZero() || time.Now().Before(p.end.Add(asksAfter[p.try])) { // set anew meanwhile
		c.mu.Unlock()
		return
	}
	if p.try++; p.try < len(asksAfter) {
		p.timer.Reset(time.Until(p.end.Add(asksAfter[p.try])))
	} else {
		p.end = time.Time{}
	}
	c.mu.Unlock()
	c.ask(device)
}

// clear drops what was set for the device.
func (c *confirmations) clear(device access.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.pending[device]; p != nil {
		p.timer.Stop()
		p.end = time.Time{}
	}
}

// forget drops a removed device.
func (c *confirmations) forget(device access.ID) {
	c.clear(device)
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pending, device)
}

// close stops all timers and takes no new ones.
func (c *confirmations) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shut = true
	for _, p := range c.pending {
		p.timer.Stop()
	}
	clear(c.pending)
}

// expectEnd sees to it that a lock is asked when the pulse that it spoke of should have ended, but not before soonest.
func (g *Gateway) expectEnd(device access.ID, soonest time.Time) {
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
	g.confirms.expect(device, end)
}

// askEnd asks for the state of a device whose pulse should be over.
func (g *Gateway) askEnd(device access.ID) {
	g.background(func() {
		known, err := g.read(device, time.Now().Add(askPause))
		if !known && errors.Is(err, session.ErrOffline) {
			g.confirms.clear(device) // a new session is read as it begins
		}
	})
}

// refresh reads an actuator's state in the background: what is known of it, and an Echo for the next command.
func (g *Gateway) refresh(device access.ID) {
	g.background(func() { _, _ = g.read(device, time.Time{}) }) // read has logged it
}

// read asks an actuator for its state and follows what it says. If it is in a pulse, it is asked again at the end of
// that, but not before soonest.
func (g *Gateway) read(device access.ID, soonest time.Time) (known bool, err error) {
	p, ok := g.sessions.Peer(device)
	if !ok {
		return false, session.ErrOffline
	}
	known, err = g.sessions.Refresh(context.Background(), p)
	if c, ok := p.Caller.(*transport.Conn); ok && err == nil {
		g.addresses.note(p.Device, c.Home())
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		g.log.Warn("state not read", "device", p.Name, "err", err)
	}
	if !known {
		return false, err
	}
	if p.Kind == keys.KindLock {
		g.sensedBy(p, false)
		g.expectEnd(device, soonest)
	}
	g.keepShut(device)
	return true, nil
}
