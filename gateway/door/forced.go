package door

import (
	"time"

	"latchkey/coapres/wire"
)

const (
	// exitHolds is how long after a press of the exit button the door may open: the longest pulse
	// of a lock, and the time to walk through.
	exitHolds = 15 * time.Second
	// walkTime is how long after a pulse somebody may still open the door: until then the door leaf
	// may hold the bolt back.
	walkTime = 5 * time.Second
)

// Contact follows the contact of one door across the sessions of its lock. It tells when the door
// was opened although nobody unlocked it. The zero value knows nothing.
type Contact struct {
	sensed wire.Contact // the last value, in any session
	at     time.Time    // when that was read
	exit   time.Time    // when the exit button was last pressed
}

// PressExit records that somebody pressed the exit button.
func (c *Contact) PressExit(now time.Time) { c.exit = now }

// Sense records the present value of the contact, with what is known of the lock, and tells whether
// the door was forced. reported means that the node reported the value when it changed. Otherwise
// it was read, and may have changed earlier.
func (c *Contact) Sense(sensed wire.Contact, reported bool, lock Lock, now time.Time) (forced bool) {
	if sensed == wire.ContactUnknown {
		return false
	}
	was, since := c.sensed, c.at
	c.sensed, c.at = sensed, now
	switch {
	case sensed != wire.ContactOpen || was == wire.ContactOpen:
		return false
	case was == wire.ContactUnknown && !reported:
		return false // it was open before the first reading: nobody knows since when and why
	case !c.exit.IsZero() && now.Sub(c.exit) < exitHolds, lock.explainsOpening(now):
		return false
	case !reported && (lock.Command == wire.Unlock && lock.CommandAt.After(since) || c.exit.After(since)):
		return false // it may have been opened at that moment
	}
	return true
}

// explainsOpening tells whether a door that opens now was unlocked. A lock that connects again has
// first ended its pulses, so an unknown state explains no opening.
func (l *Lock) explainsOpening(now time.Time) bool {
	commanded := l.Command == wire.Unlock && now.Sub(l.CommandAt) < l.Pulse+walkTime
	end := l.PulseEnd()
	return commanded || l.Known && l.Said.On && (end.IsZero() || now.Before(end))
}
