package access

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"latchkey/gateway/access/edit"
	"latchkey/gateway/text"
	"latchkey/keys"
)

// Device is what we enrol. Its keys are records of their own. A reader, a lock and a lamp have
// exactly one target, a switch has one or more, a sensor none or one.
type Device struct {
	ID      ID        `json:"id"`
	Name    string    `json:"name"`
	Kind    keys.Kind `json:"kind"`
	Targets []ID      `json:"targets,omitempty"`
	Created time.Time `json:"created"`
}

// Devices is the kind of [Device].
var Devices = &Kind[ID, Device]{
	Name:   "device",
	ID:     func(r Device) ID { return r.ID },
	Order:  cmp.Compare[ID],
	Blank:  func(id ID) Device { return Device{ID: id} },
	NameOf: func(r Device) string { return r.Name },

	Normal: func(_ *Draft, r Device) (Device, error) {
		r.Targets = slices.Clone(r.Targets)
		r.Created = edit.NormalizeTime(r.Created)
		return r, nil
	},
	References: func(r Device, to *References) {
		for _, t := range r.Targets {
			to.To(Targets, t)
		}
	},
	Recheck: func(before, after Device) bool { return before.Kind != after.Kind },
	Check:   checkDevice,
	Index:   indexActuators,

	Label: func(n Namer, r Device) string {
		return text.Quote(cmp.Or(string(r.Kind), "device")) + " " + n.NameOr(r.Name, r.ID)
	},
	Details: func(n Namer, r Device) string {
		if len(r.Targets) == 0 {
			return ""
		}
		return " at " + n.Names(r.Targets)
	},
	Difference: func(n Namer, label string, b, a Device, say *edit.Sentences) {
		say.If(a.Name != b.Name, "rename ", label, " to ", text.Quote(a.Name))
		say.If(a.Kind != b.Kind, "make ", label, " a ", text.Quote(string(a.Kind)))
		moved := !slices.Equal(a.Targets, b.Targets) && len(a.Targets) > 0
		say.If(moved, "move ", label, " to ", n.Names(a.Targets))
		say.If(len(a.Targets) == 0 && len(b.Targets) > 0, "take ", label, " from ", n.Names(b.Targets))
	},

	table: func(p *Policy) *map[ID]Device { return &p.Devices },
}

func checkDevice(d *Draft, r Device) error {
	for i, t := range r.Targets {
		if slices.Contains(r.Targets[:i], t) {
			return fmt.Errorf("%s is listed twice", d.Label(Target{ID: t}))
		}
	}
	one := len(r.Targets) == 1
	switch r.Kind {
	case keys.KindReader:
		if !one {
			return fmt.Errorf("a reader has exactly one target, and this one has %d", len(r.Targets))
		}
	case keys.KindLock:
		if !one || d.Next.Targets[r.Targets[0]].Kind != Door {
			return errors.New("a lock has exactly one target, a door")
		}
	case keys.KindLamp:
		if !one || d.Next.Targets[r.Targets[0]].Kind != Lamp {
			return errors.New("a lamp device has exactly one target, a lamp")
		}
	case keys.KindSwitch:
		if len(r.Targets) == 0 {
			return errors.New("a switch has at least one target")
		}
	case keys.KindSensor:
		if len(r.Targets) > 1 {
			return fmt.Errorf("it has %d targets: a sensor has one or none", len(r.Targets))
		}
	default:
		return fmt.Errorf("kind %q: want one of %v", string(r.Kind), keys.Kinds)
	}
	return cmp.Or(CheckID(r.ID), text.CheckHandle(r.Name))
}

// indexActuators brings Policy.actuators up to date, and refuses a target with two actuators.
func indexActuators(d *Draft, e *Edit[ID, Device]) error {
	index := maps.Clone(d.Next.actuators)
	for _, id := range e.Touched {
		if r, was := e.Before(id); was && r.Kind.Actuator() {
			delete(index, r.Targets[0])
		}
	}
	for _, id := range e.Touched {
		r, is := e.After(id)
		if !is || !r.Kind.Actuator() {
			continue
		}
		target := r.Targets[0]
		if other, taken := index[target]; taken {
			return d.Invalid(r, "%s already has %s, and a target has one actuator: remove that one first",
				d.Label(d.Next.Targets[target]), d.Label(d.Next.Devices[other]))
		}
		index[target] = id
	}
	d.Next.actuators = index
	return nil
}

// DeviceByName returns the device of that name.
func (p *Policy) DeviceByName(name string) (Device, bool) { return Devices.ByName(p, name) }

// Actuator returns the device that moves the target, if it has one.
func (p *Policy) Actuator(target ID) (Device, bool) {
	id, ok := p.actuators[target]
	if !ok {
		return Device{}, false
	}
	d, ok := p.Devices[id]
	return d, ok
}
