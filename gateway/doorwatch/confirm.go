package doorwatch

import (
	"context"
	"errors"
	"sync"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/session"
	"latchkey/keys"
)

// asksAfter says when a lock is asked for its state after its pulse should have ended: the first
// time, and again until it says that it is off. The first time is a little late, because the clocks
// of lock and gateway differ.
var asksAfter = []time.Duration{50 * time.Millisecond, time.Second, 3 * time.Second}

// askPause is the least time between questions to a lock that keeps giving a new end of its pulse.
const askPause = time.Second

// confirmations asks locks whose pulse should be over. Each device has one timer, which every
// granted scan sets again. ask must be set before the first use.
type confirmations struct {
	ask func(device access.ID)

	mu      sync.Mutex
	pending map[access.ID]*confirmation // guarded by mu; by device
	shut    bool                        // guarded by mu; no new ones
}

// confirmation is the timer of one device.
type confirmation struct {
	timer *time.Timer
	end   time.Time // of the pulse; zero: do not ask
	try   int       // index of the next try in asksAfter
}

// expect arranges that the device is asked after end, and again until clear is called.
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

// due asks a device, and sets the timer for the next try.
func (c *confirmations) due(device access.ID) {
	c.mu.Lock()
	p := c.pending[device]
	if p == nil || p.end.IsZero() || time.Now().Before(p.end.Add(asksAfter[p.try])) { // set again meanwhile
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

// clear stops asking the device.
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

// close stops all timers. No new ones start after it.
func (c *confirmations) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shut = true
	for _, p := range c.pending {
		p.timer.Stop()
	}
	clear(c.pending)
}

// ExpectEnd arranges that a lock is asked for its state when its pulse should have ended.
func (w *Watch) ExpectEnd(device access.ID) { w.expectEnd(device, time.Time{}) }

// expectEnd is ExpectEnd, but does not ask before soonest.
func (w *Watch) expectEnd(device access.ID, soonest time.Time) {
	v, ok := w.Sessions.View(device, time.Now())
	if !ok || !v.Known {
		return // wait for the next reading
	}
	if !v.State.On {
		w.confirms.clear(device)
		return
	}
	lock := lockOf(v)
	end := lock.PulseEnd()
	if end.IsZero() {
		return // no end, or about to end: keep the timer as it is
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
			w.confirms.clear(device) // a new session is read when it begins
		}
	})
}

// Refresh reads an actuator's state in the background. That also brings an Echo for the next
// command.
func (w *Watch) Refresh(device access.ID) {
	w.Go(func() { _, _ = w.read(device, time.Time{}) }) // read has logged it
}

// read asks an actuator for its state and acts on the answer. If a pulse is running, it arranges to
// ask again at its end, but not before soonest.
func (w *Watch) read(device access.ID, soonest time.Time) (known bool, err error) {
	p, ok := w.Sessions.Peer(device)
	if !ok {
		return false, session.ErrOffline
	}
	known, err = w.Sessions.Refresh(context.Background(), p)
	if err == nil {
		w.Answered(p)
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
