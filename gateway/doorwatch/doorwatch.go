// Package doorwatch follows what devices report and the states of locks. It knows the state of each
// door, finds doors that were forced and devices that were tampered with, and keeps such an alarm
// until somebody acknowledges it by name. It moves no door. Package door holds the rules.
// [Config.StateRead] is called when a lock's state was read, so that the gateway can lock it.
package doorwatch

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"latchkey/coapres"
	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/audit"
	"latchkey/gateway/door"
	"latchkey/gateway/limit"
	"latchkey/gateway/session"
	"latchkey/keys"
)

// Config is what a Watch needs. All fields are required.
type Config struct {
	Store    Store
	Feed     Feed
	Sessions *session.Table
	Log      *slog.Logger
	// Go runs f in a goroutine and returns true, or returns false if the gateway is being closed.
	Go func(f func()) bool
	// Answered is called after an actuator has answered.
	Answered func(p *coapres.Peer)
	// StateRead is called when an actuator's state was read.
	StateRead func(device access.ID)
}

// Store has the policy and the events. *store.Store is one.
type Store interface {
	Snapshot() *access.Policy
	Record(ctx context.Context, ev audit.Event) (audit.Event, error)
	Events(ctx context.Context, from uint64, limit int) ([]audit.Event, error)
	Head() (seq uint64, hash keys.Hash)
}

// Feed takes new events and changes. *feed.Feed is one.
type Feed interface {
	Note(ev audit.Event) (kept audit.Event, ok bool)
	DeviceChanged(device access.ID)
}

// Watch watches devices and doors. Its methods are safe for concurrent use.
type Watch struct {
	Config
	alarms   alarms
	confirms confirmations
	told     limit.Every[reported] // bounds the events that reports make

	mu      sync.Mutex
	devices map[access.ID]*device // guarded by mu
}

// device is what the watch remembers of one device.
type device struct {
	values   map[string]Reading
	contact  door.Contact
	tampered bool // as in the last report that was not late
}

// reported identifies reports of one name by one device. They make at most one event in
// reportInterval.
type reported struct {
	device access.ID
	name   string
}

// New returns a watch. It reads from the store which alarms nobody has acknowledged. Close stops
// its timers.
func New(ctx context.Context, cfg Config) (*Watch, error) {
	open, err := findOpenAlarms(ctx, cfg.Store)
	if err != nil {
		return nil, err
	}
	w := &Watch{Config: cfg, devices: map[access.ID]*device{}}
	w.told.Pause = reportInterval
	w.alarms.open = open
	w.confirms.ask = w.askEnd
	w.ForgetRemoved(cfg.Store.Snapshot())
	return w, nil
}

// Close stops all timers. Readings that are under way end by themselves.
func (w *Watch) Close() { w.confirms.close() }

// Forget forgets a removed device, except its alarms.
func (w *Watch) Forget(id access.ID) {
	w.confirms.forget(id)
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.devices, id)
}

// device returns the entry of a device. The caller holds mu.
func (w *Watch) device(id access.ID) *device {
	d := w.devices[id]
	if d == nil {
		d = &device{values: map[string]Reading{}}
		w.devices[id] = d
	}
	return d
}

// Door returns the present state of a door.
func (w *Watch) Door(p *access.Policy, target access.ID, now time.Time) door.State {
	f := door.Facts{At: now, Alarms: w.alarms.headlines(target)}
	if lock, ok := p.Actuator(target); ok {
		f.Lock.Fitted = true
		if v, ok := w.Sessions.View(lock.ID, now); ok {
			f.Lock = lockOf(v)
		}
	}
	return door.FindState(f)
}

// CountDoors counts the doors with a headline.
func (w *Watch) CountDoors(h door.Headline) (n int) {
	p, now := w.Store.Snapshot(), time.Now()
	for id, t := range p.Targets {
		if t.Kind == access.Door && w.Door(p, id, now).Headline == h {
			n++
		}
	}
	return n
}

// lockOf returns what a session tells about a lock.
func lockOf(v session.View) door.Lock {
	l := door.Lock{Fitted: true, Online: v.Online, Command: v.Commanded.Action, CommandAt: v.CommandedAt,
		Pulse: time.Duration(v.Commanded.Duration) * time.Millisecond,
		Known: v.Known, Said: v.State, SaidAt: v.StateAt, Contact: v.Contact}
	if v.Online && v.ContactAt.Before(v.Since) {
		l.Contact = wire.ContactUnknown // it is not of this session
	}
	return l
}

// checkContact raises an alarm if the door at a lock was forced. For reported see
// [door.Contact.Sense].
func (w *Watch) checkContact(p *coapres.Peer, reported bool) {
	now := time.Now()
	v, ok := w.Sessions.View(p.Device, now)
	if !ok {
		return
	}
	w.mu.Lock()
	forced := w.device(p.Device).contact.Sense(v.Contact, reported, lockOf(v), now)
	w.mu.Unlock()
	if forced {
		w.raise(door.Forced, p, now)
	}
}

// place returns the door or lamp at which a device stands, or zero if there is none or there are
// several.
func (w *Watch) place(device access.ID) audit.Named { return PlaceOf(w.Store.Snapshot(), device) }

// PlaceOf returns the door or lamp at which a device stands, or zero if there is none or there are
// several.
func PlaceOf(p *access.Policy, device access.ID) audit.Named {
	if d := p.Devices[device]; len(d.Targets) == 1 {
		return audit.Named{ID: d.Targets[0], Name: p.Targets[d.Targets[0]].Name}
	}
	return audit.Named{}
}

func named(p *coapres.Peer) audit.Named { return audit.Named{ID: p.Device, Name: p.Name} }
