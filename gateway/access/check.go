package access

import (
	"errors"
	"fmt"
	"slices"
)

// checkRecords checks two kinds of records: those that were put, and those that refer to a record
// which was deleted or has changed so that they may no longer fit.
func (d *Draft) checkRecords() error {
	kinds := d.Base.kinds.listKinds()
	for _, k := range kinds {
		k.noteLost(d)
	}
	for _, k := range kinds {
		if err := k.checkRecords(d); err != nil {
			return err
		}
	}
	for _, k := range kinds {
		if err := k.checkWhole(d); err != nil {
			return err
		}
	}
	return nil
}

// noteLost notes the touched records of the kind whose referrers must be checked again.
func (k *Kind[K, R]) noteLost(d *Draft) {
	e := k.findEdit(d)
	if e == nil || k.Leaf {
		return
	}
	for _, key := range e.Touched {
		before, was := e.Before(key)
		after, is := e.After(key)
		if !was || is && (k.Recheck == nil || !k.Recheck(before, after)) {
			continue
		}
		if id, ok := any(key).(ID); ok { // nothing refers to a record by an id of another type
			if d.lost == nil {
				d.lost = map[ID]bool{}
			}
			d.lost[id] = true
		}
	}
}

// checkRecords checks the touched records and, if any record was lost, the records that refer to
// it. If several of those have errors, it returns that of the smallest id, so that the same change
// is always refused with the same words.
func (k *Kind[K, R]) checkRecords(d *Draft) error {
	if e := k.findEdit(d); e != nil {
		for _, id := range e.Touched {
			if r, is := e.After(id); is {
				if err := k.checkOne(d, r); err != nil {
					return err
				}
			}
		}
	}
	if len(d.lost) == 0 || k.References == nil {
		return nil
	}
	var first K
	var firstErr error
	again := func(r R) {
		id := k.ID(r)
		if firstErr != nil && k.Order(id, first) > 0 || !k.refersToLost(d, r) {
			return
		}
		if err := k.checkOne(d, r); err != nil {
			first, firstErr = id, err
		}
	}
	if found, ok := k.indexedReferrers(d); ok {
		for _, r := range found {
			again(r)
		}
		return firstErr
	}
	for _, r := range k.In(d.Next) {
		again(r)
	}
	return firstErr
}

func (k *Kind[K, R]) checkOne(d *Draft, r R) error {
	if k.References != nil {
		d.refs = References{in: d.Next}
		k.References(r, &d.refs)
		if to := d.refs.missing; to != nil {
			return d.refuseDangling(k.ToRecord(r), to, d.refs.id)
		}
	}
	if err := k.Check(d, r); err != nil {
		return d.Invalid(k.ToRecord(r), "%w", err)
	}
	return nil
}

func (k *Kind[K, R]) refersToLost(d *Draft, r R) bool {
	d.refs = References{lost: d.lost}
	k.References(r, &d.refs)
	return d.refs.found
}

// indexedReferrers asks the kind's index for the records that refer to lost ones. It gives up if a
// search through all records is quicker.
func (k *Kind[K, R]) indexedReferrers(d *Draft) (found []R, ok bool) {
	if k.referrers == nil || len(d.lost) > 16 {
		return nil, false
	}
	for id := range d.lost {
		some, ok := k.referrers(d.Base, id)
		if !ok {
			return nil, false
		}
		found = append(found, some...)
	}
	if e := k.findEdit(d); e != nil { // deleted records do not matter, put ones are checked already
		found = slices.DeleteFunc(found, func(r R) bool { return e.HasTouched(k.ID(r)) })
	}
	return found, true
}

func (k *Kind[K, R]) checkWhole(d *Draft) error {
	if e := k.findEdit(d); e != nil && k.CheckAll != nil {
		return k.CheckAll(d, e)
	}
	return nil
}

// References receives the references of a record. It answers one of two questions about them:
// whether one of them leads into a set, or which of them is missing in a policy.
type References struct {
	lost  map[ID]bool // the set; nil to ask the second question
	found bool

	in      *Policy
	missing RecordKind // of the first that is missing, nil for none
	id      ID
}

// To says that there must be a record of the kind with that id.
func (f *References) To(kind RecordKind, id ID) {
	switch {
	case f.lost != nil:
		f.found = f.found || f.lost[id]
	case kind.isLeaf():
		panic("access: " + kind.KindName() + " is a leaf, and a record refers to it")
	case f.missing == nil && !kind.hasID(f.in, id):
		f.missing, f.id = kind, id
	}
}

// Label returns the record in a few words, for errors.
func (d *Draft) Label(r Record) string { return Namer{now: d.Next, before: d.Base}.makeLabel(r) }

// Invalid returns the error of a record that makes no sense.
func (d *Draft) Invalid(r Record, format string, args ...any) error {
	return fmt.Errorf("access: %s: %w: %w", d.Label(r), ErrInvalid, fmt.Errorf(format, args...))
}

// refuseDangling returns the error of a reference of r to a record that this change would delete,
// or that never existed.
func (d *Draft) refuseDangling(r Record, kind RecordKind, id ID) error {
	to := kind.makeBlank(id)
	if kind.hasID(d.Base, id) {
		return fmt.Errorf("access: delete %s: %w: %s refers to it: delete or change that first",
			d.Label(to), ErrInUse, d.Label(r))
	}
	return fmt.Errorf("access: %s: %w: it refers to %s, which does not exist: put that first",
		d.Label(r), ErrNotFound, d.Label(to))
}

// CheckID checks a record's own id, for [Kind.Check].
func CheckID(id ID) error {
	if !id.Valid() {
		return errors.New("the id is not 10 characters of lower-case Crockford base32: use NewID")
	}
	return nil
}
