package access

import (
	"cmp"
	"errors"
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/access/edit"
	"latchkey/gateway/endpoint"
	"latchkey/gateway/text"
	"latchkey/keys"
)

// Integration is somebody else's system that shows doors and lamps and may ask to move them, over an
// MQTT broker. It is a subject with grants of its own: without one it may do nothing.
type Integration struct {
	ID       ID                `json:"id"`
	Name     string            `json:"name"`
	Endpoint endpoint.Endpoint `json:"endpoint"`         // of the broker
	Base     string            `json:"base"`             // the beginning of our topics
	Prefix   string            `json:"prefix"`           // where the system looks for announcements
	Paused   string            `json:"paused,omitempty"` // why it may do nothing; empty: it may
	Created  time.Time         `json:"created"`
}

// Integrations is the kind of [Integration].
var Integrations = &Kind[ID, Integration]{
	Name:   "integration",
	ID:     func(r Integration) ID { return r.ID },
	Order:  cmp.Compare[ID],
	Blank:  func(id ID) Integration { return Integration{ID: id} },
	NameOf: func(r Integration) string { return r.Name },

	Normal: func(_ *Draft, r Integration) (Integration, error) {
		r.Created = edit.NormalizeTime(r.Created)
		return r, nil
	},
	Check: func(_ *Draft, r Integration) error {
		if text.CheckHandle(r.Base) != nil || text.CheckHandle(r.Prefix) != nil || len(r.Paused) > 300 {
			return errors.New("base and prefix: want 1 to 64 of a-z 0-9 . _ -")
		}
		return cmp.Or(CheckID(r.ID), text.CheckHandle(r.Name), r.Endpoint.Check("mqtts", "mqtt"))
	},

	Label:   func(n Namer, r Integration) string { return "integration " + n.NameOr(r.Name, r.ID) },
	Details: func(_ Namer, r Integration) string { return ", at " + r.Endpoint.HostPort() },
	Difference: func(_ Namer, label string, b, a Integration, say *edit.Sentences) {
		say.If(a.Name != b.Name, "rename ", label, " to ", text.Quote(a.Name))
		say.If(a.Paused != "" && b.Paused == "", "pause ", label, ": ", text.Quote(a.Paused))
		say.If(a.Paused == "" && b.Paused != "", "resume ", label)
		moved := a.Endpoint.Mark() != b.Endpoint.Mark() || a.Base != b.Base || a.Prefix != b.Prefix
		say.If(moved, "set how ", label, " is reached, at ", a.Endpoint.HostPort())
	},
	Restricted: func(before, after Integration) Integration {
		before.Paused = cmp.Or(after.Paused, "paused")
		return before
	},

	table: func(p *Policy) *map[ID]Integration { return &p.Integrations },
}

// PIN is a person's own code. It is a record of its own, so that it can be changed and removed apart
// from the person.
type PIN struct {
	Person  ID          `json:"person"`
	Hash    keys.Hidden `json:"-"` // argon2id, in PHC's string format
	Created time.Time   `json:"created"`
}

// PINs is the kind of [PIN].
var PINs = &Kind[ID, PIN]{
	Name:  "PIN",
	ID:    func(r PIN) ID { return r.Person },
	Order: cmp.Compare[ID],
	Blank: func(id ID) PIN { return PIN{Person: id} },

	Normal:     func(_ *Draft, r PIN) (PIN, error) { r.Created = edit.NormalizeTime(r.Created); return r, nil },
	References: func(r PIN, to *References) { to.To(Persons, r.Person) },
	Leaf:       true,
	Check: func(_ *Draft, r PIN) error {
		if n := len(r.Hash.Reveal()); n == 0 || n > 256 {
			return errors.New("it has no hash")
		}
		return nil
	},

	Label: func(n Namer, r PIN) string { return "PIN of " + n.Name(r.Person) },
	Difference: func(_ Namer, label string, b, a PIN, say *edit.Sentences) {
		say.If(a.Hash.Reveal() != b.Hash.Reveal(), "change ", label)
	},
	Follow: func(r PIN, _ ID) (Change, bool) { return Change{Delete: r}, true },

	table: func(p *Policy) *map[ID]PIN { return &p.PINs },
}

// findCode returns the hash of the code that the grant asks for, zero if there is none.
func (p *Policy) findCode(g *Grant) keys.Hidden {
	if g.CodeOf != "" {
		return p.PINs[g.CodeOf].Hash
	}
	return g.Code
}

// IntegrationCode returns the hash of the code that would let the attempt pass, zero if no code
// would. So a request costs one check of a code, or none.
func (p *Policy) IntegrationCode(a Attempt) keys.Hidden {
	a.Code = keys.Hidden{}
	if d := Decide(p, a); d.Reason == ReasonCodeNeeded {
		return p.findCode(p.Grants[ID(d.Rule)])
	}
	return keys.Hidden{}
}

// IntegrationMay tells whether a grant may let the integration do that, at some time and perhaps
// with a code.
func (p *Policy) IntegrationMay(integration, target ID, action wire.Action) bool {
	for _, place := range append([]ID{target}, p.groupsOf[target]...) {
		at := p.grantsAt[place]
		for i := findSubject(at, integration); i < len(at) && at[i].Subject == integration; i++ {
			if at[i].Effect == Allow && at[i].Covers(action) {
				return true
			}
		}
	}
	return false
}
