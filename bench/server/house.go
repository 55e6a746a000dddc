package server

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"latchkey/bench/wirebytes"
	"latchkey/gateway/access"
	"latchkey/gateway/store"
	"latchkey/keys"
)

// House is what a gateway under test knows: doors, each with a reader and a lock, and a card that opens it alone; readers
// at doors that have no lock; and grants of people who never come. All keys share one secret.
type House struct {
	Doors   int `json:"doors"`
	Readers int `json:"readers"` // at doors without a lock
	Grants  int `json:"grants"`  // beside those of the doors' own cards
}

// Reader is the identity of the reader at a door, Lock that of its lock, Idle that of a reader at a door without one; all count from 0.
func Reader(door int) keys.ID { return Identity(2 * door) }

// Lock is the identity of the lock at a door.
func Lock(door int) keys.ID { return Identity(2*door + 1) }

// Idle is the identity of a reader at a door without a lock.
func (h House) Idle(n int) keys.ID { return Identity(2*h.Doors + n) }

// Identity is that of the n-th node of any server.
func Identity(n int) keys.ID { return keys.ID(fmt.Sprintf("lk-%010d", n)) }

// Card is the UID that opens a door, and no other: seven bytes, as most have. That of the first door is the one whose bytes are counted.
func Card(door int) []byte {
	uid := bytes.Clone(wirebytes.UID)
	binary.BigEndian.PutUint32(uid[3:], binary.BigEndian.Uint32(uid[3:])+uint32(door))
	return uid
}

// Stranger is the UID of a card that is known and opens nothing.
func Stranger() []byte { return []byte{0xff, 0xff, 0xff, 0xff} }

// grantsEach is how many grants each of those people has who never come.
const grantsEach = 10

// Build gives a store the policy of the house. The keys have been used today, or a gateway would write each of them at its first session.
func (h House) Build(ctx context.Context, st *store.Store, secret keys.Secret, at time.Time) error {
	var changes []access.Change
	var err error
	put := func(records ...access.Record) {
		for _, r := range records {
			changes = append(changes, access.Change{Put: r})
		}
		if len(changes) >= store.MaxChanges-100 && err == nil {
			_, err = st.Apply(ctx, "bench", changes...)
			changes = changes[:0]
		}
	}
	person := func(name string, uid []byte) access.ID {
		p := access.Person{ID: access.NewID(), Name: name, Created: at}
		put(p, access.Credential{ID: st.CredentialID(uid), Person: p.ID, Tail: fmt.Sprintf("%x", uid[len(uid)-2:]), Status: access.CardActive, Created: at})
		return p.ID
	}
	node := func(kind keys.Kind, id keys.ID, door access.ID) {
		d := access.Device{ID: access.NewID(), Name: fmt.Sprintf("%s-%s", kind, string(id)[3:]), Kind: kind, Targets: []access.ID{door}, Created: at}
		put(d, keys.Key{ID: id, Device: d.ID, Secret: secret, State: keys.Active, Created: at, LastUsed: at})
	}
	grant := func(person, door access.ID) {
		put(access.Grant{ID: access.NewID(), SubjectKind: access.SubjectPerson, Subject: person, Target: door, Effect: access.Allow, Created: at})
	}
	var doors []access.ID
	for i := range h.Doors {
		door := access.Target{ID: access.NewID(), Name: fmt.Sprintf("door-%d", i), Kind: access.Door, Pulse: time.Second, Created: at}
		doors = append(doors, door.ID)
		put(door)
		node(keys.KindReader, Reader(i), door.ID)
		node(keys.KindLock, Lock(i), door.ID)
		grant(person(fmt.Sprintf("person-%d", i), Card(i)), door.ID)
	}
	for i := range h.Readers {
		door := access.Target{ID: access.NewID(), Name: fmt.Sprintf("spare-%d", i), Kind: access.Door, Pulse: time.Second, Created: at}
		put(door)
		node(keys.KindReader, h.Idle(i), door.ID)
	}
	person("stranger", Stranger())
	for i := range h.Grants / grantsEach {
		p := person(fmt.Sprintf("other-%d", i), binary.BigEndian.AppendUint32(nil, 2<<24+uint32(i)))
		for k := range grantsEach {
			grant(p, doors[(i*grantsEach+k)%len(doors)])
		}
	}
	if err == nil && len(changes) > 0 {
		_, err = st.Apply(ctx, "bench", changes...)
	}
	return err
}
