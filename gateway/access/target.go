package access

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/access/edit"
	"latchkey/gateway/text"
)

// Bounds of a door's pulse.
const (
	MinPulse = 200 * time.Millisecond
	MaxPulse = 60 * time.Second
)

// TargetKind is what a target is.
type TargetKind string

const (
	Door TargetKind = "door"
	Lamp TargetKind = "lamp"
)

// Fits tells whether an action is possible for a target of this kind.
func (k TargetKind) Fits(a wire.Action) bool {
	switch k {
	case Door:
		return a == wire.Unlock || a == wire.Lock
	case Lamp:
		return a == wire.On || a == wire.Off || a == wire.Toggle || a == wire.Level
	}
	return false
}

// Target is a door or a lamp.
type Target struct {
	ID   ID         `json:"id"`
	Name string     `json:"name"`
	Kind TargetKind `json:"kind"`
	// Pulse is how long an unlock lasts, 200 ms to 60 s; doors only. The lock has an upper limit of
	// its own.
	Pulse   time.Duration `json:"pulse,omitempty"`
	Created time.Time     `json:"created"`
}

// Targets is the kind of [Target].
var Targets = &Kind[ID, Target]{
	Name:   "target",
	ID:     func(r Target) ID { return r.ID },
	Order:  cmp.Compare[ID],
	Blank:  func(id ID) Target { return Target{ID: id} },
	NameOf: func(r Target) string { return r.Name },

	Normal: func(_ *Draft, r Target) (Target, error) {
		r.Created = edit.NormalizeTime(r.Created)
		return r, nil
	},
	Recheck: func(before, after Target) bool { return before.Kind != after.Kind },
	Check:   checkTarget,

	Label: func(n Namer, r Target) string {
		return text.Quote(cmp.Or(string(r.Kind), "target")) + " " + n.NameOr(r.Name, r.ID)
	},
	Details: func(_ Namer, r Target) string {
		if r.Pulse == 0 {
			return ""
		}
		return ", pulse " + r.Pulse.String()
	},
	Difference: func(_ Namer, label string, b, a Target, say *edit.Sentences) {
		say.If(a.Name != b.Name, "rename ", label, " to ", text.Quote(a.Name))
		say.If(a.Kind != b.Kind, "make ", label, " a ", text.Quote(string(a.Kind)))
		say.If(a.Pulse != b.Pulse, "set pulse of ", label, " to ", a.Pulse.String())
	},

	table: func(p *Policy) *map[ID]Target { return &p.Targets },
}

func checkTarget(d *Draft, r Target) error {
	switch r.Kind {
	case Door:
		if r.Pulse < MinPulse || r.Pulse > MaxPulse {
			return fmt.Errorf("pulse %v: want %v to %v", r.Pulse, MinPulse, MaxPulse)
		}
	case Lamp:
		if r.Pulse != 0 {
			return errors.New("a lamp has no pulse: leave it out")
		}
	default:
		return fmt.Errorf("kind %q: want door or lamp", string(r.Kind))
	}
	return cmp.Or(CheckID(r.ID), text.CheckHandle(r.Name))
}

// TargetByName returns the door or lamp of that name.
func (p *Policy) TargetByName(name string) (Target, bool) { return Targets.ByName(p, name) }
