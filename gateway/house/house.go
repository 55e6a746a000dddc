// Package house makes the records of a small house: doors and lamps with their devices, and people
// with cards. The demo, the tests and the benchmarks use it. It stores nothing: the caller applies
// the plan.
package house

import (
	"encoding/hex"
	"time"

	"latchkey/gateway/access"
	"latchkey/keys"
	"latchkey/keys/provision"
)

// Plan collects records. Set Card and At before the first of them.
type Plan struct {
	Card func(uid []byte) access.CredentialID // the id of a card in the store
	At   time.Time                            // when everything was created

	Records []access.Record
}

// Add adds records to the plan.
func (p *Plan) Add(records ...access.Record) { p.Records = append(p.Records, records...) }

// Take returns the changes that make the plan's records, and empties the plan.
func (p *Plan) Take() []access.Change {
	changes := make([]access.Change, len(p.Records))
	for i, r := range p.Records {
		changes[i] = access.Change{Put: r}
	}
	p.Records = p.Records[:0]
	return changes
}

// Door adds a door with that pulse.
func (p *Plan) Door(name string, pulse time.Duration) access.ID {
	return p.target(access.Target{Name: name, Kind: access.Door, Pulse: pulse})
}

// Lamp adds a lamp.
func (p *Plan) Lamp(name string) access.ID {
	return p.target(access.Target{Name: name, Kind: access.Lamp})
}

func (p *Plan) target(t access.Target) access.ID {
	t.ID, t.Created = access.NewID(), p.At
	p.Add(t)
	return t.ID
}

// Device adds a device that stands at targets, with a new key.
func (p *Plan) Device(name string, kind keys.Kind, targets ...access.ID) (access.ID, keys.Key) {
	id := access.NewID()
	key := provision.New(id)
	p.Add(access.Device{ID: id, Name: name, Kind: kind, Targets: targets, Created: p.At}, key)
	return id, key
}

// Person adds a person with a card.
func (p *Plan) Person(name string, uid []byte) access.ID {
	id := access.NewID()
	p.Add(access.Person{ID: id, Name: name, Created: p.At},
		access.Credential{ID: p.Card(uid), Person: id, Tail: hex.EncodeToString(uid[max(len(uid)-2, 0):]),
			Status: access.CardActive, Created: p.At})
	return id
}

// Allow grants a subject every action at a target, always or on a schedule.
func (p *Plan) Allow(kind access.SubjectKind, subject, target, schedule access.ID) {
	p.Add(access.Grant{ID: access.NewID(), SubjectKind: kind, Subject: subject, Target: target,
		Schedule: schedule,
		Effect:   access.Allow, Created: p.At})
}
