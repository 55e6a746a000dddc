package session

import (
	"context"
	"fmt"
	"time"

	"latchkey/coapres"
	"latchkey/coapres/wire"
)

// Refresh reads an actuator's state, which also brings an Echo for the next command. A command or
// another reading that comes meanwhile ends it. known tells whether the reading has given the
// state.
func (t *Table) Refresh(ctx context.Context, p *coapres.Peer) (known bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	t.mu.Lock()
	_, s := t.of(p)
	epoch, path := 0, p.Caller.Path()
	if s != nil {
		if s.read != nil {
			s.read()
		}
		s.read, epoch = cancel, s.epoch
	}
	t.mu.Unlock()
	if s == nil {
		return false, ErrOffline
	}
	asked := time.Now()
	st, err := coapres.ReadState(ctx, p)
	if err != nil {
		return false, err
	}
	t.Heard(p.Device, st)
	t.update(s, func(d *device) {
		s.path = path
		if known = s.epoch == epoch; known {
			d.learn(st, asked)
		}
	})
	return known, nil
}

// reach reads the state of a node that sends from a new address: the node gets no command until it
// has answered from there.
func (t *Table) reach(ctx context.Context, s *session) error {
	path := s.peer.Caller.Path()
	t.mu.Lock()
	same := path == s.path
	t.mu.Unlock()
	if same {
		return nil
	}
	asked := time.Now()
	st, err := coapres.ReadState(ctx, s.peer)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnheard, err)
	}
	t.Heard(s.peer.Device, st)
	t.update(s, func(d *device) {
		s.path = path
		d.learn(st, asked)
	})
	return nil
}

// learn records a state that the node returned; asked is when it was asked. A state that is older
// than the known one is ignored, and so is its contact if the node has reported the contact
// meanwhile.
func (d *device) learn(st wire.State, asked time.Time) {
	if d.view.Known && st.ID < d.view.State.ID {
		return
	}
	if d.view.ContactAt.After(asked) {
		st.Contact = d.view.Contact
	} else {
		d.sensed(st.Contact)
	}
	d.view.State, d.view.Known, d.view.StateAt = st, true, time.Now()
}

// Sensed records a contact that a node has reported by itself.
func (t *Table) Sensed(p *coapres.Peer, c wire.Contact) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if d, _ := t.of(p); d != nil {
		d.view.State.Contact = c
		d.sensed(c)
		t.changed(p.Device)
	}
}

// sensed records a value of the node's contact. The caller holds mu.
func (d *device) sensed(c wire.Contact) {
	if c != wire.ContactUnknown {
		d.view.Contact, d.view.ContactAt = c, time.Now()
	}
}
