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
)

const (
	maxReported   = 16               // names kept per device
	alarmInterval = 10 * time.Second // between events of one device that reports cause
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
	alarm  time.Time
}

// Report keeps what a node measured. Routine readings make no event; tamper, a forced door and a restart do.
func (c calls) Report(p *coapres.Peer, r wire.Report, late bool) {
	now := time.Now()
	var alarms []string
	for _, m := range r.Measurements {
		before := c.g.reports.keep(p.Device, Reported{m, now, late})
		if late {
			continue
		}
		switch {
		case m.Name == reportTamper && isTrue(m) && !before:
			alarms = append(alarms, "tamper")
		case m.Name == reportBoot && m.Type == wire.TextValue:
			alarms = append(alarms, fmt.Sprintf("started: %.32q", m.Text))
		case m.Name == reportContact && m.Type == wire.FlagValue:
			if c.contact(p, m.Flag, before) {
				alarms = append(alarms, "door opened without being unlocked")
			}
		}
	}
	for _, a := range alarms {
		if !c.g.reports.mayAlarm(p.Device, now) {
			return
		}
		c.g.log.Warn("device reports", "device", p.Name, "report", a)
		c.g.background(func() {
			if err := c.g.record(access.Event{Kind: access.EventReport, Device: named(p), Detail: a}); err != nil {
				c.g.log.Error("event lost", "device", p.Name, "err", err)
			}
		})
	}
}

func isTrue(m wire.Measurement) bool { return m.Type == wire.FlagValue && m.Flag }

// contact takes a door's sensor and tells whether the door opened although nobody unlocked it.
func (c calls) contact(p *coapres.Peer, open, was bool) bool {
	sensed := wire.ContactClosed
	if open {
		sensed = wire.ContactOpen
	}
	now := time.Now()
	v, ok := c.g.sessions.View(p.Device, now)
	c.g.sessions.Sensed(p, sensed)
	if !open || was || !ok || p.Kind != wire.KindLock || !v.Known {
		return false
	}
	unlocked := v.Commanded.Action == wire.Unlock && now.Sub(v.CommandedAt) < time.Duration(v.Commanded.Duration)*time.Millisecond+5*time.Second
	return !v.Expected(now).On && !unlocked
}

// keep stores a value and tells whether the last one of that name was true.
func (r *reports) keep(device string, v Reported) (was bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.devices == nil {
		r.devices = map[string]*reported{}
	}
	d := r.devices[device]
	if d == nil {
		d = &reported{values: map[string]Reported{}}
		r.devices[device] = d
	}
	old, known := d.values[v.Name]
	if !known && len(d.values) >= maxReported {
		return false
	}
	d.values[v.Name] = v
	return known && isTrue(old.Measurement)
}

func (r *reports) mayAlarm(device string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := r.devices[device]
	if d == nil || now.Sub(d.alarm) < alarmInterval {
		return false
	}
	d.alarm = now
	return true
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
