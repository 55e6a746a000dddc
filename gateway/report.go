package gateway

import (
	"fmt"
	"maps"
	"sync"
	"time"

	"latchkey/coapres"
	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/door"
	"latchkey/gateway/session"
	"latchkey/keys"
)

// Names of measurements that mean something to the gateway. All others are kept and shown.
const (
	reportContact = "contact" // boolean: true is open
	reportTamper  = "tamper"  // boolean
	reportBoot    = "boot"    // string: why the node started
	reportExit    = "exit"    // boolean: true when somebody pressed the button inside, which opens without asking
)

const (
	maxReported = 16 // names kept per device
	// reportInterval is the least time between events of one name that a device's reports cause.
	reportInterval = 10 * time.Second
	exitHolds      = 15 * time.Second // after the exit button a door may open: the lock's longest pulse, and the time to walk through
)

// Reported is the last value of one name.
type Reported struct {
	wire.Measurement
	At   time.Time // when it came
	Late bool      // it came without a fresh Echo: shown, and nothing follows from it
}

// reports keeps the last values per device, in memory. The zero value is ready for use.
type reports struct {
	mu      sync.Mutex
	devices map[access.ID]*reported // guarded by mu
}

type reported struct {
	values  map[string]Reported
	contact wire.Contact // as known last, in whichever session
	since   time.Time    // when it was known last

	// A late value is in none of these: it would hide the next one that is not.
	on   map[string]bool      // flags that were true last
	told map[string]time.Time // when a name last made an event
	exit time.Time            // when the exit button was pressed last
}

// Report keeps what a node measured. Routine readings make no event. The exit button and a restart do; tamper and a
// forced door are alarms.
func (c calls) Report(p *coapres.Peer, r wire.Report, late bool) {
	now := time.Now()
	for _, m := range r.Measurements {
		c.g.reports.keep(p.Device, Reported{m, now, late})
		c.g.feed.DeviceChanged(p.Device)
		if late {
			continue
		}
		switch {
		case m.Name == reportTamper && m.Type == wire.FlagValue:
			if c.g.reports.comesOn(p.Device, m) {
				c.g.raise(door.Tampered, named(p), c.g.placeOf(p), now)
			}
		case m.Name == reportExit && m.Type == wire.FlagValue && m.Flag && p.Kind == keys.KindLock:
			c.g.reports.exited(p.Device, now)
			c.note(p, m.Name, now, "exit button pressed")
			c.g.refresh(p.Device) // it opens without asking: for how long, it says when asked
		case m.Name == reportBoot && m.Type == wire.TextValue:
			c.note(p, m.Name, now, fmt.Sprintf("started: %.32q", m.Text))
		case m.Name == reportContact && m.Type == wire.FlagValue:
			c.contact(p, m.Flag)
		}
	}
}

// note makes an event of what a device reports, unless one of that name has just been made.
func (c calls) note(p *coapres.Peer, name string, now time.Time, detail string) {
	if !c.g.reports.mayTell(p.Device, name, now) {
		return
	}
	c.g.log.Warn("device reports", "device", p.Name, "report", detail)
	ev := access.Event{Kind: access.EventReport, Device: named(p), Target: c.g.placeOf(p), Detail: detail}
	c.g.background(func() { c.g.feed.Note(ev) })
}

// contact takes what a door's sensor reports.
func (c calls) contact(p *coapres.Peer, open bool) {
	sensed := wire.ContactClosed
	if open {
		sensed = wire.ContactOpen
	}
	c.g.sessions.Sensed(p, sensed)
	if p.Kind == keys.KindLock {
		c.g.sensedBy(p, true)
	}
}

// sensedBy raises an alarm if the contact at a lock has been opened although nobody unlocked it. reported: the node
// said so by itself, as it happened; otherwise it was read.
func (g *Gateway) sensedBy(p *coapres.Peer, reported bool) {
	now := time.Now()
	v, ok := g.sessions.View(p.Device, now)
	if !ok || v.Contact == wire.ContactUnknown {
		return
	}
	was, since := g.reports.sensed(p.Device, v.Contact, now)
	switch {
	case v.Contact != wire.ContactOpen || was == wire.ContactOpen:
		return
	case was == wire.ContactUnknown && !reported:
		return // it was open before anybody looked: nobody knows since when, and why
	case g.reports.mayExit(p.Device, now), explained(v, now):
		return
	case !reported && (v.Commanded.Action == wire.Unlock && v.CommandedAt.After(since) || g.reports.exitedAfter(p.Device, since)):
		return // it may have been opened right then
	}
	g.raise(door.Forced, named(p), g.placeOf(p), now)
}

// walkTime is how long after a pulse somebody may still open the door: the bolt is held by the leaf until then.
const walkTime = 5 * time.Second

// explained tells whether a door that is opened now was unlocked. A lock that is back lets go of its pulses first, so
// what is not known of it yet explains nothing.
func explained(v session.View, now time.Time) bool {
	pulse := time.Duration(v.Commanded.Duration) * time.Millisecond
	unlocked := v.Commanded.Action == wire.Unlock && now.Sub(v.CommandedAt) < pulse+walkTime
	return v.Known && v.Expected(now).On || unlocked
}

// keep stores a value for people to see.
func (r *reports) keep(device access.ID, v Reported) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := r.device(device)
	if _, known := d.values[v.Name]; known || len(d.values) < maxReported {
		d.values[v.Name] = v
	}
}

// device returns what is kept of a device. The caller holds mu.
func (r *reports) device(id access.ID) *reported {
	if r.devices == nil {
		r.devices = map[access.ID]*reported{}
	}
	d := r.devices[id]
	if d == nil {
		d = &reported{values: map[string]Reported{}, on: map[string]bool{}, told: map[string]time.Time{}}
		r.devices[id] = d
	}
	return d
}

// comesOn tells whether a flag is on and was not before.
func (r *reports) comesOn(device access.ID, m wire.Measurement) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := r.device(device)
	was := d.on[m.Name]
	d.on[m.Name] = m.Flag
	return m.Flag && !was
}

// mayTell tells whether a report of that name makes an event: not too often.
func (r *reports) mayTell(device access.ID, name string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := r.device(device)
	if at, ok := d.told[name]; ok && now.Sub(at) < reportInterval {
		return false
	}
	d.told[name] = now
	return true
}

// sensed takes a contact, and returns what it was before and when that was known last.
func (r *reports) sensed(device access.ID, c wire.Contact, now time.Time) (was wire.Contact, since time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := r.device(device)
	was, since = d.contact, d.since
	d.contact, d.since = c, now
	return was, since
}

// exited takes note that the exit button was pressed.
func (r *reports) exited(device access.ID, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.device(device).exit = now
}

// mayExit tells whether somebody may still be walking out through the door.
func (r *reports) mayExit(device access.ID, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := r.device(device)
	return !d.exit.IsZero() && now.Sub(d.exit) < exitHolds
}

// exitedAfter tells whether the exit button was pressed after a moment.
func (r *reports) exitedAfter(device access.ID, t time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.device(device).exit.After(t)
}

// of returns a copy of what a device has reported.
func (r *reports) of(device access.ID) map[string]Reported {
	r.mu.Lock()
	defer r.mu.Unlock()
	if d := r.devices[device]; d != nil {
		return maps.Clone(d.values)
	}
	return nil
}

// forget drops what a removed device has reported.
func (r *reports) forget(device access.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.devices, device)
}
