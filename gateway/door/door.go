// Package door says what a door is doing, from all that is known of it: one value with a headline,
// and whether it was forced. It is made of facts with their times; it has no clock, takes no locks,
// does no I/O, and moves nothing.
package door

import (
	"time"

	"latchkey/coapres/wire"
)

// Headline is what a door is, in a word. The texts are stable. The zero value is not a headline.
type Headline string

// The headlines, most important first: the first one that applies is the door's.
const (
	Forced      Headline = "forced"      // it was opened without being unlocked, and nobody has acknowledged that
	Tampered    Headline = "tampered"    // a device at it was tampered with, and nobody has acknowledged that
	Open        Headline = "open"        // its contact is open, whatever the lock says
	Unlocked    Headline = "unlocked"    // until State.Until, if that is known
	Unlocking   Headline = "unlocking"   // an unlock was sent, and the lock has not answered yet
	Offline     Headline = "offline"     // nothing is known of it now: State.Last is from before
	Unknown     Headline = "unknown"     // it has no lock, or the lock has said nothing yet
	Unconfirmed Headline = "unconfirmed" // it should be locked, and the lock has not said so since its pulse
	Locked      Headline = "locked"      // the lock has said so since its last pulse, and no contact says otherwise
)

// Headlines are all of them, in their order.
var Headlines = []Headline{Forced, Tampered, Open, Unlocked, Unlocking, Offline, Unknown, Unconfirmed, Locked}

var words = map[Headline]string{
	Forced: "opened without being unlocked", Tampered: "tampered with", Open: "open", Unlocked: "unlocked",
	Unlocking: "being unlocked",
	Offline:   "offline", Unknown: "unknown", Unconfirmed: "should be locked, not confirmed",
	Locked: "locked",
}

// Words is the headline for people.
func (h Headline) Words() string { return words[h] }

// Alarm tells whether the headline stays until somebody acknowledges it.
func (h Headline) Alarm() bool { return h == Forced || h == Tampered }

// Facts are all that is known of a door. Whatever is zero is not known.
type Facts struct {
	At     time.Time // now
	Lock   Lock
	Alarms []Headline // that nobody has acknowledged
}

// Lock is what is known of a door's lock. What was commanded, what it said and what is sensed are
// three things.
type Lock struct {
	Fitted bool // there is one
	Online bool // it is registered and alive

	Command   wire.Action // the last command that was sent to it
	CommandAt time.Time
	Pulse     time.Duration // that the last command asked for, if it was an unlock

	Known   bool       // Said holds: the lock said it in its present session, and has answered every command since
	Said    wire.State // its last words; its contact is not looked at
	SaidAt  time.Time
	Contact wire.Contact // as sensed last, in its present session if it is online
}

// State is what a door is.
type State struct {
	Headline Headline
	Now      Headline  // what it is apart from alarms; the same as Headline when there is none
	Until    time.Time // when Now is Unlocked: the pulse ends by itself; zero: it is not known to end
	Last     Headline  // when Now is Offline: Unlocked, Open or Locked, as was known last; empty: nothing was
	LastAt   time.Time
}

// answerWithin is how long an unlock without an answer counts as under way. After it the gateway
// has given up waiting.
const answerWithin = 2 * time.Second

// rules are the headlines that are no alarms, in their order, each with when it applies.
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

// Of says what a door is.
func Of(f Facts) State {
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

// said tells whether the lock's last words hold.
func (f *Facts) said() bool { return f.Lock.Fitted && f.Lock.Online && f.Lock.Known }

// unanswered tells whether an unlock was sent after the lock's last words.
func (f *Facts) unanswered() bool {
	return f.Lock.Fitted && f.Lock.Command == wire.Unlock && f.Lock.CommandAt.After(f.Lock.SaidAt)
}

// PulseEnd is when the lock locks again by itself, by its own words; zero if they do not say.
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

// last is what was known before the lock went.
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
