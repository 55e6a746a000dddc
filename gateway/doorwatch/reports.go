package doorwatch

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"latchkey/coapres"
	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/audit"
	"latchkey/gateway/door"
	"latchkey/keys"
)

// Names of measurements that the gateway understands. All others are only stored and shown.
const (
	reportContact = "contact" // boolean: true is open
	reportTamper  = "tamper"  // boolean
	reportBoot    = "boot"    // string: why the node started
	reportExit    = "exit"    // boolean: true when somebody pressed the exit button inside
)

// ExitPressed is the Detail of the event of the exit button.
const ExitPressed = "exit button pressed"

const (
	maxReported = 16 // names kept per device
	// reportInterval is the least time between events that a device's reports of one name cause.
	reportInterval = 10 * time.Second
)

// Reading is the last value of one name.
type Reading struct {
	wire.Measurement
	At   time.Time // when it came
	Late bool      // it came without a fresh Echo: it is shown and causes nothing
}

// Value returns the measured value: a text, a bool or a number.
func (r Reading) Value() any {
	switch r.Type {
	case wire.TextValue:
		return r.Text
	case wire.FlagValue:
		return r.Flag
	case wire.NumberValue:
		return r.Number
	}
	return r.Sum
}

// Report stores what a node measured. Routine readings make no event. The exit button and a restart
// make one; tamper and a forced door are alarms. A late reading is shown, but never replaces one
// that came in time.
func (w *Watch) Report(p *coapres.Peer, r wire.Report, late bool) {
	now := time.Now()
	for _, m := range r.Measurements {
		w.keep(p.Device, Reading{m, now, late})
		w.Feed.DeviceChanged(p.Device)
		if late {
			continue
		}
		switch {
		case m.Name == reportTamper && m.Type == wire.FlagValue:
			if w.tamperBegins(p.Device, m.Flag) {
				w.raise(door.Tampered, p, now)
			}
		case m.Name == reportExit && m.Type == wire.FlagValue && m.Flag && p.Kind == keys.KindLock:
			w.pressExit(p.Device, now)
			w.noteReport(p, m.Name, now, ExitPressed)
			w.Refresh(p.Device) // the lock opened by itself: ask it for how long
		case m.Name == reportBoot && m.Type == wire.TextValue:
			w.noteReport(p, m.Name, now, fmt.Sprintf("started: %.32q", m.Text))
		case m.Name == reportContact && m.Type == wire.FlagValue:
			w.senseContact(p, m.Flag)
		}
	}
}

// noteReport makes an event of a device's report, unless it has just made one of that name.
func (w *Watch) noteReport(p *coapres.Peer, name string, now time.Time, detail string) {
	if _, ok := w.told.Allow(reported{p.Device, name}, now); !ok {
		return
	}
	w.Log.Warn("device reports", "device", p.Name, "report", detail)
	ev := audit.Event{Kind: audit.EventReport, Device: named(p), Target: w.place(p.Device), Detail: detail}
	w.Go(func() { w.Feed.Note(ev) })
}

// senseContact handles a report of a door's contact.
func (w *Watch) senseContact(p *coapres.Peer, open bool) {
	sensed := wire.ContactClosed
	if open {
		sensed = wire.ContactOpen
	}
	w.Sessions.Sensed(p, sensed)
	if p.Kind == keys.KindLock {
		w.checkContact(p, true)
	}
}

// keep stores a value for people to see.
func (w *Watch) keep(id access.ID, r Reading) {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := w.device(id)
	if _, known := d.values[r.Name]; known || len(d.values) < maxReported {
		d.values[r.Name] = r
	}
}

// tamperBegins records a tamper report, and tells whether tampering begins with it.
func (w *Watch) tamperBegins(id access.ID, tampered bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := w.device(id)
	was := d.tampered
	d.tampered = tampered
	return tampered && !was
}

func (w *Watch) pressExit(id access.ID, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.device(id).contact.PressExit(now)
}

// Readings returns the last reading of each name from a device. The caller owns the slice.
func (w *Watch) Readings(id access.ID) []Reading {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := w.devices[id]
	if d == nil {
		return nil
	}
	byName := func(a, b Reading) int { return strings.Compare(a.Name, b.Name) }
	return slices.SortedFunc(maps.Values(d.values), byName)
}
