package page

import (
	"fmt"
	"time"

	"latchkey/gateway/admin/api"
	"latchkey/gateway/door"
)

// Card is a door or a lamp on the first page. What was commanded, what was acknowledged and what is
// sensed are three things.
type Card struct {
	api.Target
	Status *api.DeviceStatus // of the device that moves it; nil if there is none or it is unknown
	Reader *api.DeviceStatus // of a door's reader
	Word   string            // its state in words: locked, unlocked, on, off, unknown
	Tone   string            // good, open, bad, off or unknown, for its colour
}

// Again returns after how many milliseconds the page should refresh the card, because something
// ends by itself; 0: never.
func (c Card) Again(now time.Time) int64 {
	switch {
	case c.State == nil:
		return 0
	case c.State.Now == door.Unlocked && !c.State.Until.IsZero():
		return max(c.State.Until.Sub(now).Milliseconds(), 0) + 200 // the gateway asks the lock then
	case c.State.Now == door.Unlocked, c.State.Now == door.Unlocking, c.State.Now == door.Unconfirmed:
		return 1000
	case c.State.Now == door.Open, c.State.Headline.Alarm():
		return 3000 // a change of the contact is not an event
	}
	return 0
}

// Online tells whether the device that moves the target is connected.
func (c Card) Online() bool { return c.Status != nil && c.Status.Online }

// Level returns the level of a lamp in percent.
func (c Card) Level() int {
	switch {
	case c.Status == nil || c.Status.State == nil || !c.Status.State.On:
		return 0
	case c.Status.State.Level == 0:
		return 100
	}
	return int(c.Status.State.Level)
}

// Commanded returns the last command in words.
func (c Card) Commanded() string {
	if c.Status == nil || c.Status.Commanded == 0 {
		return ""
	}
	return c.Status.Commanded.String()
}

// Opens returns how long an unlock lasts: the pulse, or less if the lock has reported a shorter
// limit.
func (c Card) Opens() string {
	pulse, err := time.ParseDuration(c.Pulse)
	limit, unknown := time.ParseDuration(c.MaxPulse)
	if err == nil && unknown == nil && limit < pulse {
		return c.MaxPulse
	}
	return c.Pulse
}

// Said returns the state that the device acknowledged or reported last.
func (c Card) Said() string {
	switch {
	case c.Status == nil || !c.Status.Known || c.Status.State == nil:
		return ""
	case c.State == nil:
		return c.Word
	case c.Status.State.On:
		return "unlocked"
	}
	return "locked"
}

// Left returns how long an unlocked door stays unlocked, if that is known.
func (c Card) Left(now time.Time) string {
	if c.State == nil || c.State.Headline != door.Unlocked || c.State.Until.IsZero() {
		return ""
	}
	return fmt.Sprintf("%.0f s", max(c.State.Until.Sub(now), 0).Seconds())
}

// Contact returns what the door's sensor reports: open or closed, empty if that is not known.
func (c Card) Contact() string {
	if c.Status == nil || !c.Status.Known || c.Status.State == nil {
		return ""
	}
	return c.Status.State.Contact
}

// NewCard makes the card of a target. mover is the status of the device that moves it, reader that
// of the reader at it; nil: unknown.
func NewCard(t api.Target, mover, reader *api.DeviceStatus) Card {
	c := Card{Target: t, Status: mover, Reader: reader}
	c.Word, c.Tone = stateOf(t, mover)
	return c
}

// stateOf returns the state of a target. Unknown does not mean locked.
func stateOf(t api.Target, s *api.DeviceStatus) (word, tone string) {
	switch {
	case t.State != nil:
		return t.State.Words, DoorTone(t.State.Headline)
	case s == nil || !s.Known || s.State == nil:
		return "unknown", "unknown"
	case s.State.On && s.State.Level > 0 && s.State.Level < 100:
		return fmt.Sprintf("on, %d %%", s.State.Level), "open"
	case s.State.On:
		return "on", "open"
	}
	return "off", "off"
}

// DoorTone returns the colour of a door's headline.
func DoorTone(h door.Headline) string {
	switch {
	case h.Alarm():
		return "bad"
	case h == door.Locked:
		return "good"
	case h == door.Open, h == door.Unlocked, h == door.Unlocking:
		return "open"
	}
	return "unknown"
}
