package homeassistant

import (
	"encoding/json"
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/door"
	"latchkey/gateway/doorwatch"
	"latchkey/gateway/session"
)

// States of a lock, as Home Assistant knows them. A state that is not known is stateUnknown: it
// replaces the last one, so that a door is never shown as locked because nobody said otherwise.
const (
	stateLocked    = "LOCKED"
	stateUnlocked  = "UNLOCKED"
	stateUnlocking = "UNLOCKING"
	stateJammed    = "JAMMED"
	stateUnknown   = "None"
)

// lockState returns the state of a door's lock. It is what the lock said, never what it was asked
// for. A door that stands open counts as unlocked, whatever its lock says. jammed tells that the
// lock has refused to lock and has not been heard of as locked since.
func lockState(s door.State, jammed bool) string {
	switch s.Now {
	case door.Locked:
		return stateLocked
	case door.Unlocking:
		return stateUnlocking
	case door.Offline:
		return stateUnknown
	}
	switch {
	case jammed:
		return stateJammed
	case s.Now == door.Unlocked || s.Now == door.Open:
		return stateUnlocked
	}
	return stateUnknown // door.Unknown, door.Unconfirmed
}

// lampStateJSON is the state of a lamp. Null is not known.
type lampStateJSON struct {
	State      *string `json:"state"`
	Brightness *uint8  `json:"brightness"` // 1 to 100, of a lamp that is on
}

// makeLampState returns the state of a lamp as it said it. ok is false if the lamp was not seen
// since the start.
func makeLampState(v session.View, ok bool) []byte {
	var s lampStateJSON
	if ok && v.Online && v.Known {
		state := "OFF"
		if v.State.On {
			state = "ON"
			if level := v.State.Level; level > 0 && level <= 100 {
				s.Brightness = &level
			}
		}
		s.State = &state
	}
	return encode(s)
}

// sensed is what the device of a target senses. Null is not known.
type sensed struct {
	Contact *string        `json:"contact"` // open or closed
	Tamper  *bool          `json:"tamper"`
	Alarm   *door.Headline `json:"alarm"` // one that nobody has acknowledged
	RSSI    *float64       `json:"rssi"`  // dBm
	Volts   *float64       `json:"volts"` // of its supply
}

// Names of measurements that are shown.
const (
	readTamper = "tamper"
	readRSSI   = "rssi"
	readSupply = "supply"
)

// makeSensed returns what the device of a target senses, from its session, its readings and the
// open alarms of the target.
func makeSensed(v session.View, ok bool, readings []doorwatch.Reading, alarms []doorwatch.Alarm) []byte {
	var s sensed
	// A contact of an earlier session may have changed while nobody looked.
	if ok && v.Online && v.Contact != wire.ContactUnknown && !v.ContactAt.Before(v.Since) {
		contact := "closed"
		if v.Contact == wire.ContactOpen {
			contact = "open"
		}
		s.Contact = &contact
	}
	for _, r := range readings {
		switch {
		case r.Name == readTamper && r.Type == wire.FlagValue && !r.Late:
			s.Tamper = &r.Flag
		case r.Name == readRSSI && r.Type == wire.NumberValue:
			s.RSSI = &r.Number
		case r.Name == readSupply && r.Type == wire.NumberValue:
			volts := r.Number
			if r.Unit == "mV" {
				volts /= 1000
			}
			s.Volts = &volts
		}
	}
	for _, a := range alarms {
		if s.Alarm == nil || *s.Alarm != door.Forced {
			s.Alarm = &a.What
		}
	}
	return encode(s)
}

// attributes are those of an entity that takes commands.
type attributes struct {
	Echo string `json:"echo"`
}

// encode returns the JSON of a payload of ours.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // our own types
	}
	return b
}

// isTransient tells whether a door's state changes by itself soon.
func isTransient(s door.State, now time.Time) bool {
	endsSoon := !s.Until.IsZero() && s.Until.Sub(now) < time.Second
	return s.Now == door.Unlocking || s.Now == door.Unlocked && endsSoon
}
