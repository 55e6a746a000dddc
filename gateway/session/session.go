// Package session knows which devices are registered and alive now, and sends commands to them. It
// does not decide who may command, and stores nothing on disk.
package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"latchkey/coapres"
	"latchkey/coapres/wire"
	"latchkey/gateway/limit"
	"latchkey/keys"
)

// ErrOffline means that the device has no live session: nothing was sent.
var ErrOffline = errors.New("offline")

// ErrUnheard is an [ErrOffline] for a device that sends from a new address and has not answered
// there.
var ErrUnheard = fmt.Errorf("%w: not heard at its new address", ErrOffline)

// Table holds the newest session of each device, and what is known of each device's target. It is
// safe for concurrent use.
type Table struct {
	// Heard is called with each state that a device was asked for. It must not block for long. Set it
	// before the first session.
	Heard   func(device keys.RecordID, st wire.State)
	changed func(keys.RecordID)

	mu      sync.Mutex
	devices map[keys.RecordID]*device // guarded by mu; by device record id
}

// device is what the table keeps of a device across its sessions.
type device struct {
	name string
	kind keys.Kind
	live *session // nil when there is none
	view View
}

// session is one live association, proven to be one device.
type session struct {
	peer   *coapres.Peer
	number uint64
	end    func()             // closes the association
	turn   limit.Gate         // one command at a time
	until  time.Time          // end of the registration; zero: not registered
	mute   time.Time          // when a command got no answer: send nothing until the node does; zero: never
	read   context.CancelFunc // ends the reading under way; nil before the first
	path   uint32             // number of the address from which a reading was last answered
	epoch  int                // grows when a command begins or ends, so that older readings are ignored
}

// View is what is known of a device. What was commanded, what it acknowledged and what its contact
// senses are three things.
type View struct {
	Device    keys.RecordID
	Name      string
	Kind      keys.Kind
	Online    bool
	Since     time.Time // of the present or last session
	Addr      string
	Identity  keys.ID
	LastHeard time.Time

	Commanded   wire.Command // the last command sent, zero if none
	CommandedAt time.Time
	State       wire.State // as last acknowledged or read; meaningful only when Known
	Known       bool       // false before the first reading and after a lost receipt: unknown is not locked
	StateAt     time.Time

	Contact   wire.Contact  // the last value, from a reading or from the node's own report
	ContactAt time.Time     // if before Since, it is from an earlier session
	MaxPulse  time.Duration // the node's longest unlock, as it said; 0: it did not say
}

// Expected returns State as it should be at now: a pulse that the node ends by itself has ended.
func (v View) Expected(now time.Time) wire.State {
	s := v.State
	if s.On && s.Left > 0 {
		left := time.Duration(s.Left)*time.Millisecond - now.Sub(v.StateAt)
		s.On, s.Left = left > 0, uint32(max(left, 0)/time.Millisecond)
	}
	return s
}

// Unconfirmed tells whether a pulse should be over, and the device has not said so yet.
func (v View) Unconfirmed(now time.Time) bool { return v.State.On && !v.Expected(now).On }

// NewTable returns an empty table. changed, if not nil, is called for each device whose View
// changes. The table is locked meanwhile, so changed must neither block nor call the table.
func NewTable(changed func(keys.RecordID)) *Table {
	if changed == nil {
		changed = func(keys.RecordID) {}
	}
	return &Table{devices: map[keys.RecordID]*device{}, changed: changed,
		Heard: func(keys.RecordID, wire.State) {}}
}

// Open makes p the session of its device. replaced tells that it has ended an older session. number
// grows with each association. ok is false if a newer session exists: two handshakes may end in
// another order than they began. end closes p's association.
func (t *Table) Open(p *coapres.Peer, number uint64, end func(), now time.Time) (replaced, ok bool) {
	t.mu.Lock()
	d := t.devices[p.Device]
	if d == nil {
		d = &device{}
		t.devices[p.Device] = d
	}
	old := d.live
	if old != nil && old.number > number {
		t.mu.Unlock()
		return false, false
	}
	d.name, d.kind = p.Name, p.Kind
	d.live = &session{peer: p, number: number, end: end, turn: limit.NewGate(1)}
	d.view.Since, d.view.Addr, d.view.Identity, d.view.Known = now, p.Addr, p.Key, false
	d.view.State.ID = 0 // command ids count within one association
	t.changed(p.Device)
	t.mu.Unlock()
	if old != nil {
		old.end()
	}
	return old != nil, true
}

// Closed forgets p's session and tells whether it was the newest of its device.
func (t *Table) Closed(p *coapres.Peer) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	d, _ := t.of(p)
	if d == nil {
		return false
	}
	d.ended()
	t.changed(p.Device)
	return true
}

// ended stores what must be remembered of the session that ends. The caller holds mu.
func (d *device) ended() {
	d.view.LastHeard, d.view.MaxPulse = d.live.peer.Caller.LastHeard(), d.live.peer.MaxPulse()
	d.live, d.view.Known = nil, false
}

// of returns p's device and session if p is the newest of its device. The caller holds mu.
func (t *Table) of(p *coapres.Peer) (*device, *session) {
	if d := t.devices[p.Device]; d != nil && d.live != nil && d.live.peer == p {
		return d, d.live
	}
	return nil, nil
}

// Registered records a registration or its update, and tells whether the node was not registered
// before.
func (t *Table) Registered(p *coapres.Peer, lifetime time.Duration, now time.Time) (first bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, s := t.of(p)
	if s == nil {
		return false
	}
	first = !s.online(now)
	s.until = now.Add(lifetime)
	if first {
		t.changed(p.Device)
	}
	return first
}

// Left records that a node removed its registration.
func (t *Table) Left(p *coapres.Peer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, s := t.of(p); s != nil {
		s.until = time.Time{}
		t.changed(p.Device)
	}
}

func (s *session) online(now time.Time) bool {
	return s != nil && now.Before(s.until) && (s.mute.IsZero() || s.peer.Caller.LastHeard().After(s.mute))
}

// Lapsed returns the peers whose registration has expired since the last call.
func (t *Table) Lapsed(now time.Time) []*coapres.Peer {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []*coapres.Peer
	for _, d := range t.devices {
		if s := d.live; s != nil && !s.until.IsZero() && !now.Before(s.until) {
			s.until = time.Time{}
			t.changed(s.peer.Device)
			out = append(out, s.peer)
		}
	}
	return out
}

// Command sends a command to a device and waits for its receipt, at most until the command's
// deadline. Commands to one device are sent one at a time, and before readings. The caller makes
// sure that their ids grow: a node refuses others.
func (t *Table) Command(ctx context.Context, deviceID keys.RecordID, cmd coapres.Command) (wire.Receipt,
	error) {
	if d, ok := ctx.Deadline(); !ok || d.After(cmd.Deadline()) { // else no second timer
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, cmd.Deadline())
		defer cancel()
	}
	s, err := t.take(ctx, deviceID)
	if err != nil {
		return wire.Receipt{}, err
	}
	defer s.turn.Leave()
	if err := t.reach(ctx, s); err != nil {
		return wire.Receipt{}, err
	}
	t.update(s, func(d *device) {
		s.epoch++
		d.view.Commanded, d.view.CommandedAt = cmd.Command, time.Now()
		if s.read != nil {
			s.read()
		}
	})
	if !s.peer.KnowsEpoch() {
		cmd.Epoch = 0
	}
	asked := time.Now()
	r, err := coapres.Actuate(ctx, s.peer, cmd)
	t.update(s, func(d *device) {
		s.epoch++
		switch {
		case err == nil:
			d.learn(r.State, asked)
		case errors.Is(err, coapres.ErrNoReceipt):
			d.view.Known, s.mute = false, time.Now()
		}
	})
	return r, err
}

// take waits for its turn to command a device.
func (t *Table) take(ctx context.Context, deviceID keys.RecordID) (s *session, err error) {
	t.mu.Lock()
	d := t.devices[deviceID]
	if d == nil || !d.live.online(time.Now()) {
		t.mu.Unlock()
		return nil, ErrOffline
	}
	s = d.live
	t.mu.Unlock()
	if s.turn.Enter(ctx) != nil {
		return nil, coapres.ErrLate
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		err = coapres.ErrLate
	case d.live != s || !s.online(time.Now()):
		err = ErrOffline
	default:
		return s, nil
	}
	s.turn.Leave()
	return nil, err
}

// update calls f with s's device, if s is still its session.
func (t *Table) update(s *session, f func(*device)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if d, live := t.of(s.peer); live == s {
		f(d)
		t.changed(s.peer.Device)
	}
}

// EndIf ends the sessions for which f is true and returns their peers.
func (t *Table) EndIf(f func(*coapres.Peer) bool) []*coapres.Peer {
	t.mu.Lock()
	var gone []*session
	for _, d := range t.devices {
		if d.live != nil && f(d.live.peer) {
			gone = append(gone, d.live)
			t.changed(d.live.peer.Device)
			d.ended()
		}
	}
	t.mu.Unlock()
	peers := make([]*coapres.Peer, len(gone))
	for i, s := range gone {
		s.end()
		peers[i] = s.peer
	}
	return peers
}

// Peer returns the live session of a device, registered or not.
func (t *Table) Peer(deviceID keys.RecordID) (*coapres.Peer, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if d := t.devices[deviceID]; d != nil && d.live != nil {
		return d.live.peer, true
	}
	return nil, false
}

// View returns what is known of a device. ok is false if it was not seen since the start.
func (t *Table) View(deviceID keys.RecordID, now time.Time) (v View, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	d := t.devices[deviceID]
	if d == nil {
		return View{}, false
	}
	return d.seen(deviceID, now), true
}

func (d *device) seen(id keys.RecordID, now time.Time) View {
	v := d.view
	v.Device, v.Name, v.Kind, v.Online = id, d.name, d.kind, d.live.online(now)
	if d.live != nil {
		v.LastHeard, v.MaxPulse = d.live.peer.Caller.LastHeard(), d.live.peer.MaxPulse()
	}
	return v
}

// Views returns what is known of every device seen since the start, by name.
func (t *Table) Views(now time.Time) []View {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]View, 0, len(t.devices))
	for id, d := range t.devices {
		out = append(out, d.seen(id, now))
	}
	slices.SortFunc(out, func(a, b View) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Online returns how many devices are registered and alive now.
func (t *Table) Online() (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	for _, d := range t.devices {
		if d.live.online(now) {
			n++
		}
	}
	return n
}

// LimitPulse returns how long a device really holds such a pulse: not longer than the limit that it
// gave.
func (t *Table) LimitPulse(deviceID keys.RecordID, pulse time.Duration) time.Duration {
	if v, ok := t.View(deviceID, time.Now()); ok && v.MaxPulse > 0 {
		return min(pulse, v.MaxPulse)
	}
	return pulse
}
