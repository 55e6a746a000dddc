// Package door works out the state of a door from all that is known of it, and tells whether it was
// forced. Its input is facts with their times. It has no clock, takes no locks, does no I/O, and
// moves nothing.
package door

import (
	"time"

	"latchkey/coapres/wire"
)

// Headline is the state of a door in a word. The texts are stable. The zero value is not a
// headline.
type Headline string

// The headlines, most important first: the first one that applies is the door's.
const (
	Forced      Headline = "forced"      // it was opened without being unlocked; not acknowledged
	Tampered    Headline = "tampered"    // a device at it was tampered with; not acknowledged
	Open        Headline = "open"        // its contact is open, whatever the lock says
	Unlocked    Headline = "unlocked"    // until State.Until, if that is known
	Unlocking   Headline = "unlocking"   // an unlock was sent, and the lock has not answered yet
	Offline     Headline = "offline"     // its lock is offline; State.Last is the last known state
	Unknown     Headline = "unknown"     // it has no lock, or the lock has said nothing yet
	Unconfirmed Headline = "unconfirmed" // it should be locked, and the lock has not said so since its pulse
	Locked      Headline = "locked"      // the lock said so after its last pulse, and no contact disagrees
)

// Headlines lists all headlines, in their order.
var Headlines = []Headline{Forced, Tampered, Open, Unlocked, Unlocking, Offline, Unknown, Unconfirmed, Locked}

var words = map[Headline]string{
	Forced: "opened without being unlocked", Tampered: "tampered with", Open: "open", Unlocked: "unlocked",
	Unlocking: "being unlocked",
	Offline:   "offline", Unknown: "unknown", Unconfirmed: "should be locked, not confirmed",
	Locked: "locked",
}

// Words returns the headline for people.
func (h Headline) Words() string { return words[h] }

// Alarm tells whether the headline stays until somebody acknowledges it.
func (h Headline) Alarm() bool { return h == Forced || h == Tampered }

// Facts is all that is known of a door. A zero field is not known.
type Facts struct {
	At     time.Time // now
	Lock   Lock
	Alarms []Headline // those that nobody has acknowledged
}

// Lock is what is known of a door's lock. What was commanded, what it answered and what its contact
// senses are three things.
type Lock struct {
	Fitted bool // the door has a lock
	Online bool // it is registered and alive

	Command   wire.Action // the last command that was sent to it
	CommandAt time.Time
	Pulse     time.Duration // of the last command, if it was an unlock

	Known   bool       // Said is of the present session, and the lock has answered every command since
	Said    wire.State // its last answer; its contact is not used
	SaidAt  time.Time
	Contact wire.Contact // the last reading, of its present session if it is online
}

// State is the state of a door.
type State struct {
	Headline Headline
	Now      Headline  // the headline without alarms
	Until    time.Time // when Now is Unlocked: the end of the pulse; zero: not known
	Last     Headline  // when Now is Offline: the last known of Unlocked, Open and Locked; empty: none
	LastAt   time.Time
}

// answerWithin is how long an unlock without an answer counts as under way. Then the gateway has
// given up waiting.
const answerWithin = 2 * time.Second

// rules are the headlines that are not alarms, in their order, each with its condition.
var rules = []struct {
	headline Headline
	applies  func(*Facts) bool
}{
	{Open, func(f *Facts) bool { return f.Lock.Online && f.Lock.Contact == wire.ContactOpen }},
	{Unlocked, func(f *Facts) bool { return f.said() && f.Lock.Said.On && !f.pulseOver() }},
	{Unlocking, func(f *Facts) bool {
		return f.Lock.Online && f.unanswered() && f.At.Sub(f.Lock.CommandAt) < answerWithin
	}},
	{Offline, func(f *Facts) bool { return f.Lock.Fitted && !f.Lock.Online }},
	{Unknown, func(f *Facts) bool { return !f.said() || f.unanswered() }},
	{Unconfirmed, func(f *Facts) bool { return f.Lock.Said.On }}, // and its pulse is over
	{Locked, func(*Facts) bool { return true }},
}

// FindState returns the state of a door.
func FindState(f Facts) State {
	var s State
	for _, r := range rules {
		if r.applies(&f) {
			s.Now = r.headline
			break
		}
	}
	switch s.Now {
	case Unlocked:
		s.Until = f.Lock.PulseEnd()
	case Offline:
		s.Last, s.LastAt = f.last()
	}
	s.Headline = s.Now
	for _, h := range Headlines {
		for _, alarm := range f.Alarms {
			if h.Alarm() && h == alarm {
				s.Headline = h
				return s
			}
		}
	}
	return s
}

// said tells whether the lock's last answer is still valid.
func (f *Facts) said() bool { return f.Lock.Fitted && f.Lock.Online && f.Lock.Known }

// unanswered tells whether an unlock was sent after the lock's last answer.
func (f *Facts) unanswered() bool {
	return f.Lock.Fitted && f.Lock.Command == wire.Unlock && f.Lock.CommandAt.After(f.Lock.SaidAt)
}

// PulseEnd returns when the lock will lock again by itself, as it said, or zero if it did not say.
func (l *Lock) PulseEnd() time.Time {
	if !l.Said.On || l.Said.Left == 0 {
		return time.Time{}
	}
	return l.SaidAt.Add(time.Duration(l.Said.Left) * time.Millisecond)
}

func (f *Facts) pulseOver() bool {
	end := f.Lock.PulseEnd()
	return !end.IsZero() && !f.At.Before(end)
}

// last returns what was known before the lock went offline, and since when.
func (f *Facts) last() (Headline, time.Time) {
	switch {
	case f.Lock.SaidAt.IsZero():
		return "", time.Time{}
	case f.Lock.Contact == wire.ContactOpen:
		return Open, f.Lock.SaidAt
	case f.Lock.Said.On:
		return Unlocked, f.Lock.SaidAt
	}
	return Locked, f.Lock.SaidAt
}
