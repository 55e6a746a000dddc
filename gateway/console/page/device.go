package page

import (
	"fmt"
	"strings"

	"latchkey/gateway/admin/api"
	"latchkey/keys"
)

// Device is a device in a list.
type Device struct {
	api.Device
	Key *api.Key // the newest key that is not revoked; nil: all are
}

// Reading returns the last value with this name that the device reported, with its unit; empty if
// there is none.
func (d Device) Reading(name string) string {
	if d.Live == nil {
		return ""
	}
	for _, r := range d.Live.Reports {
		if r.Name == name {
			return ValueText(r)
		}
	}
	return ""
}

// ValueText returns a reading with its unit.
func ValueText(r api.Reading) string {
	switch x := r.Value.(type) {
	case float64:
		return strings.TrimSpace(fmt.Sprintf("%.4g %s", x, r.Unit))
	case bool:
		return map[bool]string{true: "yes", false: "no"}[x]
	}
	return fmt.Sprint(r.Value)
}

// NewDevice makes the row of a device.
func NewDevice(d api.Device) Device {
	r := Device{Device: d}
	for i, k := range d.Keys {
		if keys.State(k.State).Usable() {
			r.Key = &d.Keys[i]
		}
	}
	return r
}
