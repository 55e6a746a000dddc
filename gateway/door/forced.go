package door

import (
	"time"

	"latchkey/coapres/wire"
)

const (
	// exitHolds is how long after the exit button was pressed the door may open: the longest pulse
	// of a lock, and the time to walk through.
	exitHolds = 15 * time.Second
	// walkTime is how long after a pulse somebody may still open the door: the leaf holds the bolt
	// back until then.
	walkTime = 5 * time.Second
)

// Contact follows the contact of one door across the sessions of its lock, and tells when the door
// was opened although nobody unlocked it. The zero value knows nothing.
type Contact struct {
	sensed wire.Contact // as known last, in whichever session
	at     time.Time    // when it was known last
	exit   time.Time    // when the exit button was pressed last
}

// PressExit notes that somebody pressed the exit button.
func (c *Contact) PressExit(now time.Time) { c.exit = now }

// Sense takes the contact as it is known now, and what is known of the lock. reported: the node
// said so by itself, as it happened; otherwise it was read, and may have been so for a while. It
// tells whether the door was forced.
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
		return false // it was open before anybody looked: nobody knows since when, and why
	case !c.exit.IsZero() && now.Sub(c.exit) < exitHolds, lock.explainsOpening(now):
		return false
	case !reported && (lock.Command == wire.Unlock && lock.CommandAt.After(since) || c.exit.After(since)):
		return false // it may have been opened right then
	}
	return true
}

// explainsOpening tells whether a door that is opened now was unlocked. A lock that comes back ends
// its pulses first, so what is not known of it yet explains nothing.
func (l *Lock) explainsOpening(now time.Time) bool {
	commanded := l.Command == wire.Unlock && now.Sub(l.CommandAt) < l.Pulse+walkTime
	end := l.PulseEnd()
	return commanded || l.Known && l.Said.On && (end.IsZero() || now.Before(end))
}
