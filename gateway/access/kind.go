package access

import (
	"reflect"
	"slices"

	"latchkey/gateway/access/edit"
)

// Kind describes one kind of record to the policy. R is the record, K is the type of its id.
//
// Each kind is one package variable that nobody changes. Its functions are pure: they look at
// nothing but their arguments. Each must be set unless its comment says what nil means.
type Kind[K comparable, R any] struct {
	// Name is for people, such as "person". It is unique in a [Table].
	Name string

	// ID returns a record's id, Order sorts ids.
	ID    func(R) K
	Order func(a, b K) int
	// Blank returns a record that holds nothing but its id.
	Blank func(K) R
	// NameOf returns a record's name. No other record of the kind may have the same. nil: records
	// of this kind have no names.
	NameOf func(R) string

	// Normal returns the record as policies hold it: sorted, in UTC, and sharing no memory with the
	// caller. It refuses a record that does not parse, and one that may not follow on the record
	// before it.
	Normal func(d *Draft, r R) (R, error)

	// References names each record that r refers to. A policy in which one of them is missing is
	// refused. nil: records of this kind refer to nothing.
	References func(r R, to *References)
	// Leaf says that nothing refers to records of this kind. It saves the search for what does.
	Leaf bool
	// Recheck tells whether a changed record may no longer suit the records that refer to it. They
	// are then checked again, as when the record is deleted. nil: no change matters to them.
	Recheck func(before, after R) bool

	// Check returns what is wrong with a record, and what to do, without naming the record. When it
	// is called, all records that r refers to exist.
	Check func(d *Draft, r R) error
	// CheckAll checks what a change as a whole does to records of this kind. nil: nothing to check.
	CheckAll func(d *Draft, e *Edit[K, R]) error
	// Index updates the policy's indexes when records of this kind have changed. nil: there are
	// none.
	Index func(d *Draft, e *Edit[K, R]) error

	// Label is a record in a few words: its kind and its name.
	Label func(n Namer, r R) string
	// Details is what a new record says beyond its label. nil: nothing.
	Details func(n Namer, r R) string
	// Difference says how a record changed. label is the record as it was before.
	Difference func(n Namer, label string, before, after R, say *edit.Sentences)

	// Restricted returns before without the right that a restriction takes away. If that equals
	// after, the change is a restriction; see [Restricts]. nil: no change of this kind is one.
	Restricted func(before, after R) R
	// Follow returns what happens to r when a record that it refers to is removed: r is deleted
	// too, or put without the reference. If it returns false, r needs that record, and the removal
	// is refused. nil: r needs all records that it refers to.
	Follow func(r R, removed ID) (Change, bool)
	// Stays returns why a record cannot be removed, even if nothing refers to it. nil: records of
	// this kind can be removed.
	Stays func(p *Policy, r R) error

	// table is the field of Policy with the records of this kind. nil: they are in Policy.tables.
	table func(*Policy) *map[K]R
	// referrers asks an index for the records that refer to one. nil or false: look through all.
	referrers func(p *Policy, id ID) (found []R, ok bool)
	// box, unbox and unboxID are for a kind whose R is a pointer, as a [Record] is always a value.
	box     func(R) Record
	unbox   func(Record) R
	unboxID func(Record) K
}

func (k *Kind[K, R]) isComplete() bool {
	return k.Name != "" && k.ID != nil && k.Order != nil && k.Blank != nil && k.Normal != nil &&
		k.Check != nil && k.Label != nil && k.Difference != nil
}

// RecordKind is a [Kind] of any type of record.
type RecordKind interface {
	KindName() string
	RecordType() reflect.Type
	isComplete() bool

	clearRecords(p *Policy)
	findRecord(p *Policy, r Record) (Record, bool)
	hasID(p *Policy, id ID) bool
	yieldRecords(p *Policy, yield func(Record) bool) bool
	makeBlank(id ID) Record
	getID(r Record) ID
	getName(r Record) string
	findName(p *Policy, id ID) (string, bool)

	putRecord(d *Draft, r Record) error
	deleteRecord(d *Draft, r Record) bool
	noteLost(d *Draft)
	checkRecords(d *Draft) error
	checkWhole(d *Draft) error
	indexNames(d *Draft) error
	updateIndexes(d *Draft) error

	isBlank(r Record) bool
	makeLabel(n Namer, r Record) string
	describeDetails(n Namer, r Record) string
	describeDifference(n Namer, before, after Record) []string
	isRestriction(before, after Record) bool
	checkStays(p *Policy, r Record) error
	isLeaf() bool
	followRemoval(p *Policy, rm *removal)
}

// In returns the policy's records of this kind. They are the policy's: never write to them.
func (k *Kind[K, R]) In(p *Policy) map[K]R {
	if k.table != nil {
		return *k.table(p)
	}
	row := p.kinds.findRow(k)
	if row < 0 {
		return nil
	}
	records, _ := p.tables[row].(map[K]R)
	return records
}

func (k *Kind[K, R]) setRecords(p *Policy, records map[K]R) {
	if k.table != nil {
		*k.table(p) = records
		return
	}
	p.tables[p.kinds.findRow(k)] = records
}

// ByName returns the record of that name.
func (k *Kind[K, R]) ByName(p *Policy, name string) (r R, ok bool) {
	id, ok := k.listNames(p)[name]
	if ok {
		r, ok = k.In(p)[id]
	}
	return r, ok
}

func (k *Kind[K, R]) listNames(p *Policy) map[string]K {
	row := p.kinds.findRow(k)
	if row < 0 {
		return nil
	}
	names, _ := p.names[row].(map[string]K)
	return names
}

func (k *Kind[K, R]) clearRecords(p *Policy) {
	k.setRecords(p, map[K]R{})
	p.names[p.kinds.findRow(k)] = map[string]K{}
}

// ToRecord returns the record by value, as [Policy.Get] does.
func (k *Kind[K, R]) ToRecord(r R) Record {
	if k.box != nil {
		return k.box(r)
	}
	return r
}

// FromRecord returns the record that r is. It panics if r is not of this kind.
func (k *Kind[K, R]) FromRecord(r Record) R {
	if k.unbox != nil {
		return k.unbox(r)
	}
	return r.(R)
}

// getKey returns the id of the record, which FromRecord would copy for a kind that is held by
// pointer.
func (k *Kind[K, R]) getKey(r Record) K {
	if k.unboxID != nil {
		return k.unboxID(r)
	}
	return k.ID(r.(R))
}

// KindName returns Name.
func (k *Kind[K, R]) KindName() string { return k.Name }

// RecordType returns the type of the kind's records, by value.
func (k *Kind[K, R]) RecordType() reflect.Type {
	if k.box == nil {
		return reflect.TypeFor[R]()
	}
	var none K
	return reflect.TypeOf(k.box(k.Blank(none)))
}

func (k *Kind[K, R]) findRecord(p *Policy, r Record) (Record, bool) {
	kept, ok := k.In(p)[k.getKey(r)]
	if !ok {
		return nil, false
	}
	return k.ToRecord(kept), true
}

func (k *Kind[K, R]) hasID(p *Policy, id ID) bool {
	key, ok := any(id).(K)
	if ok {
		_, ok = k.In(p)[key]
	}
	return ok
}

func (k *Kind[K, R]) yieldRecords(p *Policy, yield func(Record) bool) bool {
	records := k.In(p)
	ids := make([]K, 0, len(records))
	for id := range records {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, k.Order)
	for _, id := range ids {
		if !yield(k.ToRecord(records[id])) {
			return false
		}
	}
	return true
}

func (k *Kind[K, R]) makeBlank(id ID) Record {
	key, _ := any(id).(K)
	return k.ToRecord(k.Blank(key))
}

// getID returns the record's id, "" for a kind that has ids of another type, or none.
func (k *Kind[K, R]) getID(r Record) ID {
	id, _ := any(k.getKey(r)).(ID)
	return id
}

// getName returns the record's name, "" for a kind without names.
func (k *Kind[K, R]) getName(r Record) string {
	if k.NameOf == nil {
		return ""
	}
	return k.NameOf(k.FromRecord(r))
}

// findName returns the name of the record with that id, if the policy has one of this kind.
func (k *Kind[K, R]) findName(p *Policy, id ID) (string, bool) {
	key, ok := any(id).(K)
	if !ok || k.NameOf == nil {
		return "", false
	}
	r, ok := k.In(p)[key]
	if !ok {
		return "", false
	}
	return k.NameOf(r), true
}

// isBlank tells whether the record holds nothing but its id.
func (k *Kind[K, R]) isBlank(r Record) bool {
	own := k.FromRecord(r)
	return reflect.DeepEqual(own, k.Blank(k.ID(own)))
}

func (k *Kind[K, R]) makeLabel(n Namer, r Record) string { return k.Label(n, k.FromRecord(r)) }

func (k *Kind[K, R]) describeDetails(n Namer, r Record) string {
	if k.Details == nil {
		return ""
	}
	return k.Details(n, k.FromRecord(r))
}

func (k *Kind[K, R]) describeDifference(n Namer, before, after Record) []string {
	var say edit.Sentences
	was := k.FromRecord(before)
	k.Difference(n, k.Label(n, was), was, k.FromRecord(after), &say)
	return say.Said
}

func (k *Kind[K, R]) isRestriction(before, after Record) bool {
	if k.Restricted == nil {
		return false
	}
	return reflect.DeepEqual(k.Restricted(k.FromRecord(before), k.FromRecord(after)), k.FromRecord(after))
}
