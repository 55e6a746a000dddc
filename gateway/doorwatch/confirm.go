package doorwatch

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/session"
	"latchkey/keys"
)

// asksAfter is when a lock is asked for its state once its pulse should have ended: then, and again
// while it has not said that it is off. The first is a little later than the end, which two clocks
// do not see at the same moment.
var asksAfter = []time.Duration{50 * time.Millisecond, time.Second, 3 * time.Second}

// askPause is the least time between questions to a lock that goes on naming another end.
const askPause = time.Second

// confirmations ask locks whose pulse should be over. One timer a device is used again and again:
// each granted scan sets it. ask must be set before the first use.
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

// ExpectEnd sees to it that a lock is asked when the pulse that it spoke of should have ended.
func (w *Watch) ExpectEnd(device access.ID) { w.expectEnd(device, time.Time{}) }

// expectEnd is ExpectEnd, but asks not before soonest.
func (w *Watch) expectEnd(device access.ID, soonest time.Time) {
	v, ok := w.Sessions.View(device, time.Now())
	if !ok || !v.Known {
		return // the next reading tells
	}
	if !v.State.On {
		w.confirms.clear(device)
		return
	}
	lock := lockOf(v)
	end := lock.PulseEnd()
	if end.IsZero() {
		return // on without an end, or about to end: it is asked again as was set before
	}
	if end.Before(soonest) {
		end = soonest
	}
	w.confirms.expect(device, end)
}

// askEnd asks for the state of a device whose pulse should be over.
func (w *Watch) askEnd(device access.ID) {
	w.Go(func() {
		known, err := w.read(device, time.Now().Add(askPause))
		if !known && errors.Is(err, session.ErrOffline) {
			w.confirms.clear(device) // a new session is read as it begins
		}
	})
}

// Refresh reads an actuator's state in the background: what is known of it, and an Echo for the
// next command.
func (w *Watch) Refresh(device access.ID) {
	w.Go(func() { _, _ = w.read(device, time.Time{}) }) // read has logged it
}

// read asks an actuator for its state and follows what it says. If it is in a pulse, it is asked
// again at the end of that, but not before soonest.
func (w *Watch) read(device access.ID, soonest time.Time) (known bool, err error) {
	p, ok := w.Sessions.Peer(device)
	if !ok {
		return false, session.ErrOffline
	}
	known, err = w.Sessions.Refresh(context.Background(), p)
	if c, ok := p.Caller.(interface{ Home() netip.AddrPort }); ok && err == nil {
		w.Answered(p.Device, c.Home())
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		w.Log.Warn("state not read", "device", p.Name, "err", err)
	}
	if !known {
		return false, err
	}
	if p.Kind == keys.KindLock {
		w.checkContact(p, false)
		w.expectEnd(device, soonest)
	}
	w.StateRead(device)
	return true, nil
}
