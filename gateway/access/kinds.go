package access

import (
	"fmt"
	"reflect"
	"slices"
	"time"

	"latchkey/gateway/calendar"
	"latchkey/keys"
)

// maxKinds is how many kinds a table has room for. A policy holds an array of that size.
const maxKinds = 16

// Standard has the kinds of this package. This is the order in which their records are checked and
// listed, and in which they are removed with a record that they refer to.
var Standard = NewTable(
	Sites,
	Persons,
	Targets,
	Schedules,
	Credentials,
	Devices,
	Keys,
	Grants,
	Groups,
	Integrations,
	PINs,
)

// Table is the kinds of record that a policy can hold. It is immutable.
type Table struct {
	rows   []RecordKind
	byType map[reflect.Type]RecordKind
}

// NewTable returns a table of the kinds. It panics at an incomplete kind, at a kind or a name that
// occurs twice, and at more than 16 kinds.
func NewTable(kinds ...RecordKind) *Table {
	t := &Table{rows: slices.Clone(kinds), byType: make(map[reflect.Type]RecordKind, len(kinds))}
	if len(kinds) > maxKinds {
		panic(fmt.Sprintf("access: %d kinds of record: want at most %d", len(kinds), maxKinds))
	}
	for i, k := range kinds {
		if !k.isComplete() {
			panic(fmt.Sprintf("access: the kind %q lacks a function", k.KindName()))
		}
		sameName := func(other RecordKind) bool { return other.KindName() == k.KindName() }
		if t.byType[k.RecordType()] != nil || slices.ContainsFunc(kinds[:i], sameName) {
			panic(fmt.Sprintf("access: the kind %q is in the table twice", k.KindName()))
		}
		t.byType[k.RecordType()] = k
	}
	return t
}

// With returns a table that also has those of the kinds that t lacks, such as kinds of another
// package.
func (t *Table) With(kinds ...RecordKind) *Table {
	rows := slices.Clone(t.rows)
	for _, k := range kinds {
		if t.findRow(k) < 0 {
			rows = append(rows, k)
		}
	}
	return NewTable(rows...)
}

// Kinds returns the kinds in order. The slice is the caller's.
func (t *Table) Kinds() []RecordKind { return slices.Clone(t.rows) }

// New returns the empty policy of these kinds, in which the zone is UTC and nobody may do anything.
func (t *Table) New() *Policy {
	p := &Policy{kinds: t, zone: time.UTC, weekly: map[ID]calendar.Weekly{}, groupsOf: map[ID][]ID{},
		grantsAt: map[ID][]*Grant{}, actuators: map[ID]ID{}, keysOf: map[ID][]keys.Key{}}
	for _, k := range t.rows {
		k.clearRecords(p)
	}
	if t.findRow(Sites) < 0 {
		return p
	}
	p, err := p.With(Change{Put: Site{Zone: "UTC"}})
	if err != nil {
		panic(err) // our own record
	}
	return p
}

// findKind returns the kind of the record. A nil table has none.
func (t *Table) findKind(r Record) (RecordKind, bool) {
	if t == nil {
		return nil, false
	}
	k, ok := t.byType[reflect.TypeOf(r)]
	return k, ok
}

// findRow returns where the kind stands, -1 if it does not.
func (t *Table) findRow(k RecordKind) int {
	if t == nil {
		return -1
	}
	return slices.Index(t.rows, k)
}

// listKinds returns the kinds in order. A nil table has none.
func (t *Table) listKinds() []RecordKind {
	if t == nil {
		return nil
	}
	return t.rows
}
