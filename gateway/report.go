package gateway

import (
	"fmt"
	"maps"
	"sync"
	"time"

	"latchkey/coapres"
	"latchkey/coapres/wire"
	"latchkey/gateway/access"
)

// Names of measurements that mean something to the gateway. All others are kept and shown.
const (
	reportContact = "contact" // boolean: true is open
	reportTamper  = "tamper"  // boolean
	reportBoot    = "boot"    // string: why the node started
	reportExit    = "exit"    // boolean: true when somebody pressed the button inside, which opens without asking
)

const (
	maxReported   = 16               // names kept per device
	alarmInterval = 10 * time.Second // between events of one name that a device's reports cause
	exitHolds     = 15 * time.Second // after the exit button a door may open: the lock's longest pulse, and the time to walk through
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
	devices map[string]*reported // guarded by mu
}

type reported struct {
	values map[string]Reported
	// on and alarmed are of the names that make events. A late value is neither: it would hide the next one that is not.
	on      map[string]bool      // it is true, and what was to say of it was said
	alarmed map[string]time.Time // when it last made an event
	exit    time.Time            // when the exit button was pressed last
}

// Report keeps what a node measured. Routine readings make no event; tamper, a forced door, the exit button and a restart do.
func (c calls) Report(p *coapres.Peer, r wire.Report, late bool) {
	now := time.Now()
	for _, m := range r.Measurements {
		c.g.reports.keep(p.Device, Reported{m, now, late})
		if late {
			continue
		}
		switch {
		case m.Name == reportTamper && m.Type == wire.FlagValue:
			c.alarm(p, m, now, m.Flag, "tamper")
		case m.Name == reportExit && m.Type == wire.FlagValue && m.Flag && p.Kind == wire.KindLock:
			c.g.reports.exited(p.Device, now)
			c.alarm(p, wire.Measurement{Name: m.Name}, now, true, "exit button pressed") // each press is one, on as it says
		case m.Name == reportBoot && m.Type == wire.TextValue:
			c.alarm(p, m, now, true, fmt.Sprintf("started: %.32q", m.Text))
		case m.Name == reportContact && m.Type == wire.FlagValue:
			c.alarm(p, m, now, c.contact(p, m.Flag), "door opened without being unlocked")
		}
	}
}

// alarm makes an event of a measurement that is wrong and was not before.
func (c calls) alarm(p *coapres.Peer, m wire.Measurement, now time.Time, wrong bool, detail string) {
	if !c.g.reports.mayAlarm(p.Device, m, now, wrong) {
		return
	}
	c.g.log.Warn("device reports", "device", p.Name, "report", detail)
	c.g.background(func() {
		if err := c.g.record(access.Event{Kind: access.EventReport, Device: named(p), Detail: detail}); err != nil {
			c.g.log.Error("event lost", "device", p.Name, "err", err)
		}
	})
}

// contact takes a door's sensor and tells whether the door is open although nobody unlocked it.
func (c calls) contact(p *coapres.Peer, open bool) bool {
	sensed := wire.ContactClosed
	if open {
		sensed = wire.ContactOpen
	}
	now := time.Now()
	v, ok := c.g.sessions.View(p.Device, now)
	c.g.sessions.Sensed(p, sensed)
	if !open || !ok || p.Kind != wire.KindLock {
		return false
	}
	if c.g.reports.mayExit(p.Device, now) {
		return false
	}
	unlocked := v.Commanded.Action == wire.Unlock && now.Sub(v.CommandedAt) < time.Duration(v.Commanded.Duration)*time.Millisecond+5*time.Second
	// A lock that is back lets go of its pulses first, so what is not known of it yet does not explain an open door.
	return !(v.Known && v.Expected(now).On) && !unlocked
}

// keep stores a value for people to see.
func (r *reports) keep(device string, v Reported) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := r.device(device)
	if _, known := d.values[v.Name]; known || len(d.values) < maxReported {
		d.values[v.Name] = v
	}
}

// device returns what is kept of a device. The caller holds mu.
func (r *reports) device(id string) *reported {
	if r.devices == nil {
		r.devices = map[string]*reported{}
	}
	d := r.devices[id]
	if d == nil {
		d = &reported{values: map[string]Reported{}, on: map[string]bool{}, alarmed: map[string]time.Time{}}
		r.devices[id] = d
	}
	return d
}

// mayAlarm tells whether a measurement that is wrong makes an event: a flag does when it was not on before, and nothing does too often. What
// was held back for that is not forgotten: if it is still so at the next report, that one makes the event.
func (r *reports) mayAlarm(device string, m wire.Measurement, now time.Time, wrong bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := r.device(device)
	on := m.Type == wire.FlagValue && m.Flag
	if !wrong || d.on[m.Name] {
		d.on[m.Name] = on
		return false
	}
	if at, ok := d.alarmed[m.Name]; ok && now.Sub(at) < alarmInterval {
		return false
	}
	d.on[m.Name], d.alarmed[m.Name] = on, now
	return true
}

// exited takes note that the exit button was pressed.
func (r *reports) exited(device string, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.device(device).exit = now
}

// mayExit tells whether somebody may still be walking out through the door.
func (r *reports) mayExit(device string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := r.device(device)
	return !d.exit.IsZero() && now.Sub(d.exit) < exitHolds
}

// of returns a copy of what a device has reported.
func (r *reports) of(device string) map[string]Reported {
	r.mu.Lock()
	defer r.mu.Unlock()
	if d := r.devices[device]; d != nil {
		return maps.Clone(d.values)
	}
	return nil
}

// forget drops what a removed device has reported.
func (r *reports) forget(device string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.devices, device)
}
