package server

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"latchkey/bench/wirebytes"
	"latchkey/gateway/access"
	"latchkey/gateway/house"
	"latchkey/gateway/store"
	"latchkey/keys"
)

// House is the policy of a gateway under test: doors, each with a reader, a lock and a card that
// opens only this door; readers at doors without a lock; and grants of people who never present a
// card. All keys share one secret.
type House struct {
	Doors   int `json:"doors"`
	Readers int `json:"readers"` // at doors without a lock
	Grants  int `json:"grants"`  // in addition to those of the doors' own cards
}

// Reader is the identity of the reader at a door, Lock that of its lock, and Idle that of a reader
// at a door without a lock. All count from 0.
func Reader(door int) keys.ID { return Identity(2 * door) }

// Lock is the identity of the lock at a door.
func Lock(door int) keys.ID { return Identity(2*door + 1) }

// Idle is the identity of a reader at a door without a lock.
func (h House) Idle(n int) keys.ID { return Identity(2*h.Doors + n) }

// Identity is the identity of the n-th node of any server.
func Identity(n int) keys.ID { return keys.ID(fmt.Sprintf("lk-%010d", n)) }

// Card is the UID of the card that opens only this door: seven bytes, as most cards have. The card
// of the first door is the one that package wirebytes counts with.
func Card(door int) []byte {
	uid := bytes.Clone(wirebytes.UID)
	binary.BigEndian.PutUint32(uid[3:], binary.BigEndian.Uint32(uid[3:])+uint32(door))
	return uid
}

// Stranger is the UID of a card that is registered and opens nothing.
func Stranger() []byte { return []byte{0xff, 0xff, 0xff, 0xff} }

// grantsEach is how many grants each person has who never presents a card.
const grantsEach = 10

// enough is the number of records at which a batch is applied. The records of one more door or
// person still fit into the batch.
const enough = store.MaxChanges - 100

// Build writes the policy of the house into a store. The keys are marked as used today; otherwise a
// gateway would write each of them at its first session.
func (h House) Build(ctx context.Context, st *store.Store, secret keys.Secret, at time.Time) error {
	p := house.Plan{Card: st.CredentialID, At: at}
	apply := func(atLeast int) error {
		if len(p.Records) < atLeast {
			return nil
		}
		_, err := st.Apply(ctx, "bench", p.Take()...)
		return err
	}
	node := func(kind keys.Kind, id keys.ID, door access.ID) {
		d := access.Device{ID: access.NewID(), Name: fmt.Sprintf("%s-%s", kind, string(id)[3:]), Kind: kind,
			Targets: []access.ID{door}, Created: at}
		p.Add(d, keys.Key{ID: id, Device: d.ID, Secret: secret, State: keys.Active, Created: at,
			LastUsed: at})
	}
	var doors []access.ID
	for i := range h.Doors {
		door := p.Door(fmt.Sprintf("door-%d", i), time.Second)
		doors = append(doors, door)
		node(keys.KindReader, Reader(i), door)
		node(keys.KindLock, Lock(i), door)
		p.Allow(access.SubjectPerson, p.Person(fmt.Sprintf("person-%d", i), Card(i)), door, "")
		if err := apply(enough); err != nil {
			return err
		}
	}
	for i := range h.Readers {
		node(keys.KindReader, h.Idle(i), p.Door(fmt.Sprintf("spare-%d", i), time.Second))
		if err := apply(enough); err != nil {
			return err
		}
	}
	p.Person("stranger", Stranger())
	for i := range h.Grants / grantsEach {
		person := p.Person(fmt.Sprintf("other-%d", i), binary.BigEndian.AppendUint32(nil, 2<<24+uint32(i)))
		for k := range grantsEach {
			p.Allow(access.SubjectPerson, person, doors[(i*grantsEach+k)%len(doors)], "")
		}
		if err := apply(enough); err != nil {
			return err
		}
	}
	return apply(1)
}
