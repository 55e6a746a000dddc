package access

import (
	"errors"
	"iter"
	"time"

	"latchkey/gateway/calendar"
	"latchkey/keys"
)

// Sentinels for [errors.Is]. A change that is refused leaves the policy as it was.
var (
	ErrInvalid  = calendar.ErrInvalid     // a record or a change does not make sense, or a schedule's text
	ErrConflict = errors.New("conflict")  // the name is taken
	ErrNotFound = errors.New("not found") // a record refers to nothing, or there is nothing to delete
	ErrInUse    = errors.New("in use")    // something still refers to what would be deleted
)

// Policy holds all records. It is consistent and immutable: make one with [New] and [Policy.With],
// share it between goroutines freely, and never write to its maps or through their values. Every
// reference leads to a record, and names are unique per kind.
type Policy struct {
	Site         Site
	Persons      map[ID]Person
	Credentials  map[CredentialID]Credential
	Targets      map[ID]Target
	Devices      map[ID]Device
	Keys         map[keys.ID]keys.Key
	Groups       map[ID]Group
	Schedules    map[ID]Schedule
	Integrations map[ID]Integration
	PINs         map[ID]PIN // by person
	// By pointer, so that copying the map for a change stays cheap. As a [Record] a grant goes by
	// value.
	Grants map[ID]*Grant

	zone      *time.Location
	weekly    map[ID]calendar.Weekly // Schedules, parsed
	groupsOf  map[ID][]ID            // person or target → groups it is in, sorted
	grantsAt  map[ID][]*Grant        // target or target group → grants on it, sorted by subject and id
	actuators map[ID]ID              // target → lock or lamp device
	keysOf    map[ID][]keys.Key      // device → keys, oldest first

	kinds  *Table
	tables [maxKinds]any // by row of kinds, map[K]R: the records that no field above holds
	names  [maxKinds]any // by row of kinds, map[string]K
}

// New returns the empty policy of the [Standard] kinds, in which the zone is UTC and nobody may do
// anything.
func New() *Policy { return Standard.New() }

// Get returns the record of the same kind and id as r, as the policy holds it: normalised by
// [Policy.With].
func (p *Policy) Get(r Record) (Record, bool) {
	k, ok := p.kinds.findKind(r)
	if !ok {
		return nil, false
	}
	return k.findRecord(p, r)
}

// Records yields every record by value, in one order that depends only on the records: the site
// first, then kind by kind, by id. Putting them all into an empty policy makes the same policy.
func (p *Policy) Records() iter.Seq[Record] {
	return func(yield func(Record) bool) {
		for _, k := range p.kinds.listKinds() {
			if !k.yieldRecords(p, yield) {
				return
			}
		}
	}
}
