package keys

import "fmt"

// Kind is what a device is. One device has one kind, and the kind fixes what it may call.
type Kind string

const (
	KindReader Kind = "reader"
	KindSwitch Kind = "switch"
	KindLock   Kind = "lock"
	KindLamp   Kind = "lamp"
	KindSensor Kind = "sensor"
)

// Kinds lists every kind, in the order in which they are shown.
var Kinds = []Kind{KindReader, KindSwitch, KindLock, KindLamp, KindSensor}

// ParseKind returns the kind of that name.
func ParseKind(s string) (Kind, error) {
	for _, k := range Kinds {
		if string(k) == s {
			return k, nil
		}
	}
	return "", fmt.Errorf("keys: unknown kind %q: want one of %v", s, Kinds)
}

// Actuator tells whether a device of this kind moves a target and takes commands.
func (k Kind) Actuator() bool { return k == KindLock || k == KindLamp }
