package wire

import "fmt"

// Action is a request to a target or a command to an actuator. The zero Action asks for nothing.
type Action uint8

const (
	Unlock Action = 1
	Lock   Action = 2
	On     Action = 3
	Off    Action = 4
	Toggle Action = 5 // asked of the gateway only: a command always says on or off
	Level  Action = 6
)

var actionNames = [...]string{Unlock: "unlock", Lock: "lock", On: "on", Off: "off", Toggle: "toggle",
	Level: "level"}

// Valid tells whether a is one of the actions above.
func (a Action) Valid() bool { return a >= Unlock && a <= Level }

func (a Action) String() string {
	if !a.Valid() {
		return fmt.Sprintf("action(%d)", uint8(a))
	}
	return actionNames[a]
}

// ParseAction returns the action of that name.
func ParseAction(s string) (Action, error) {
	for a := Unlock; a <= Level; a++ {
		if actionNames[a] == s {
			return a, nil
		}
	}
	return 0, fmt.Errorf("wire: unknown action %q", s)
}

// MarshalText implements [encoding.TextMarshaler], for JSON. The zero Action is empty text.
func (a Action) MarshalText() ([]byte, error) {
	if a == 0 {
		return nil, nil
	}
	if !a.Valid() {
		return nil, fmt.Errorf("wire: invalid action %d", uint8(a))
	}
	return []byte(actionNames[a]), nil
}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (a *Action) UnmarshalText(b []byte) (err error) {
	if len(b) == 0 {
		*a = 0
		return nil
	}
	*a, err = ParseAction(string(b))
	return err
}
