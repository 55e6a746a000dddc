package access

import (
	"bytes"
	"cmp"
	"errors"
	"iter"
	"maps"
	"slices"
	"time"

	"latchkey/keys"
)

// Sentinels for [errors.Is]. A change that is refused leaves the policy as it was.
var (
	ErrInvalid  = errors.New("invalid")   // a record or a change does not make sense
	ErrConflict = errors.New("conflict")  // the name is taken
	ErrNotFound = errors.New("not found") // a record refers to nothing, or there is nothing to delete
	ErrInUse    = errors.New("in use")    // something still refers to what would be deleted
)

// Policy is every record, consistent and immutable: make one with [New] and [Policy.With], share it between goroutines freely, and
// never write to its maps or through their values. References always lead somewhere, names are unique per kind.
type Policy struct {
	Site        Site
	Persons     map[ID]Person
	Credentials map[CredentialID]Credential
	Targets     map[ID]Target
	Devices     map[ID]Device
	Keys        map[keys.ID]keys.Key
	Groups      map[ID]Group
	Schedules   map[ID]Schedule
	Grants      map[ID]*Grant // by pointer, so that copying the map for a change stays cheap; as a [Record] a grant goes by value
	Accounts    map[ID]Account

	zone      *time.Location
	names     [namedKinds]map[string]ID
	weekly    map[ID]Weekly    // Schedules, parsed
	groupsOf  map[ID][]ID      // person or target → groups it is in, sorted
	grantsAt  map[ID][]*Grant  // target or target group → grants on it, sorted by subject and id
	actuators map[ID]ID        // target → lock or lamp device
	keysOf    map[ID][]keys.ID // device → keys, oldest first
}

// What has names, as indexes into Policy.names.
const (
	personNames = iota
	targetNames
	deviceNames
	groupNames
	scheduleNames
	accountNames
	namedKinds
)

// New returns the empty policy: zone UTC, nobody may do anything.
func New() *Policy {
	p := &Policy{
		Site:        Site{Zone: "UTC"},
		Persons:     map[ID]Person{},
		Credentials: map[CredentialID]Credential{},
		Targets:     map[ID]Target{},
		Devices:     map[ID]Device{},
		Keys:        map[keys.ID]keys.Key{},
		Groups:      map[ID]Group{},
		Schedules:   map[ID]Schedule{},
		Grants:      map[ID]*Grant{},
		Accounts:    map[ID]Account{},
		zone:        time.UTC,
		weekly:      map[ID]Weekly{},
		groupsOf:    map[ID][]ID{},
		grantsAt:    map[ID][]*Grant{},
		actuators:   map[ID]ID{},
		keysOf:      map[ID][]keys.ID{},
	}
	for i := range p.names {
		p.names[i] = map[string]ID{}
	}
	return p
}

// PersonByName returns the person of that name.
func (p *Policy) PersonByName(name string) (Person, bool) {
	return byName(p.Persons, p.names[personNames], name)
}

// TargetByName returns the door or lamp of that name.
func (p *Policy) TargetByName(name string) (Target, bool) {
	return byName(p.Targets, p.names[targetNames], name)
}

// DeviceByName returns the device of that name.
func (p *Policy) DeviceByName(name string) (Device, bool) {
	return byName(p.Devices, p.names[deviceNames], name)
}

// GroupByName returns the group of that name; groups of persons and of targets share their names.
func (p *Policy) GroupByName(name string) (Group, bool) {
	return byName(p.Groups, p.names[groupNames], name)
}

// ScheduleByName returns the schedule of that name.
func (p *Policy) ScheduleByName(name string) (Schedule, bool) {
	return byName(p.Schedules, p.names[scheduleNames], name)
}

// AccountByName returns the console's account of that name.
func (p *Policy) AccountByName(name string) (Account, bool) {
	return byName(p.Accounts, p.names[accountNames], name)
}

func byName[V any](m map[ID]V, names map[string]ID, name string) (v V, ok bool) {
	id, ok := names[name]
	if ok {
		v, ok = m[id]
	}
	return v, ok
}

// Actuator returns the device that moves the target, if it has one.
func (p *Policy) Actuator(target ID) (Device, bool) {
	id, ok := p.actuators[target]
	if !ok {
		return Device{}, false
	}
	d, ok := p.Devices[id]
	return d, ok
}

// KeysOf returns the device's keys, oldest first. The slice is the caller's.
func (p *Policy) KeysOf(device ID) []keys.Key {
	var out []keys.Key
	for _, id := range p.keysOf[device] {
		out = append(out, p.Keys[id])
	}
	return out
}

// Zone returns the site's time zone.
func (p *Policy) Zone() *time.Location {
	if p.zone == nil { // not made with New
		return time.UTC
	}
	return p.zone
}

// Get returns the record of the same kind and id as r, as the policy holds it: normalised by [Policy.With].
func (p *Policy) Get(r Record) (Record, bool) {
	switch r := r.(type) {
	case Site:
		return p.Site, true
	case Person:
		return get(p.Persons, r.ID)
	case Credential:
		return get(p.Credentials, r.ID)
	case Target:
		return get(p.Targets, r.ID)
	case Device:
		return get(p.Devices, r.ID)
	case keys.Key:
		return get(p.Keys, r.ID)
	case Group:
		return get(p.Groups, r.ID)
	case Schedule:
		return get(p.Schedules, r.ID)
	case Account:
		return get(p.Accounts, r.ID)
	case Grant:
		if g, ok := p.Grants[r.ID]; ok {
			return *g, true
		}
	}
	return nil, false
}

func get[K comparable, V any](m map[K]V, id K) (Record, bool) {
	v, ok := m[id]
	if !ok {
		return nil, false
	}
	return v, true
}

// Records yields every record by value, in one order that depends only on the records: the site first, then kind by kind, by id.
// Putting them all into an empty policy makes the same policy.
func (p *Policy) Records() iter.Seq[Record] {
	return func(yield func(Record) bool) {
		ok := yield(p.Site) &&
			each(p.Persons, cmp.Compare[ID], yield) &&
			each(p.Credentials, compareCredentials, yield) &&
			each(p.Targets, cmp.Compare[ID], yield) &&
			each(p.Devices, cmp.Compare[ID], yield) &&
			each(p.Keys, cmp.Compare[keys.ID], yield) &&
			each(p.Groups, cmp.Compare[ID], yield) &&
			each(p.Schedules, cmp.Compare[ID], yield) &&
			each(p.Accounts, cmp.Compare[ID], yield)
		if !ok {
			return
		}
		for _, id := range slices.Sorted(maps.Keys(p.Grants)) {
			if !yield(*p.Grants[id]) {
				return
			}
		}
	}
}

func each[K comparable, V any](m map[K]V, order func(a, b K) int, yield func(Record) bool) bool {
	for _, id := range slices.SortedFunc(maps.Keys(m), order) {
		if !yield(m[id]) {
			return false
		}
	}
	return true
}

func compareCredentials(a, b CredentialID) int { return bytes.Compare(a[:], b[:]) }
