package access

import (
	"fmt"

	"latchkey/gateway/access/edit"
)

// Edit is what a draft does to the records of one kind.
type Edit[K comparable, R any] = edit.Edit[K, R]

// With returns the policy with the changes made; p stays as it is. The changes apply in order as
// one atomic step, and references and names are checked at the end, so one call may put a person
// and their grant in any order, or swap two names. The new policy holds the records normalised
// (members and actions sorted, schedule text canonical, times in UTC): read them back with
// [Policy.Get].
//
// Errors wrap [ErrInvalid], [ErrConflict], [ErrNotFound] or [ErrInUse] and say what to do.
func (p *Policy) With(changes ...Change) (*Policy, error) {
	d := newDraft(p)
	for _, c := range changes {
		if err := d.applyChange(c); err != nil {
			return nil, err
		}
	}
	if err := d.checkRecords(); err != nil {
		return nil, err
	}
	if err := d.updateIndexes(); err != nil {
		return nil, err
	}
	return d.Next, nil
}

// Draft is a policy in the making. Next shares every map with Base until the first write to it.
type Draft struct {
	Base *Policy // as it was
	Next *Policy // as it will be

	edits [maxKinds]any // by row of the table, *Edit[K, R]; nil: nothing of the kind was touched
	lost  map[ID]bool   // deleted, or changed so that records which refer to them must be checked again
	refs  References
}

func newDraft(p *Policy) *Draft {
	next := *p
	return &Draft{Base: p, Next: &next}
}

func (d *Draft) applyChange(c Change) error {
	switch {
	case c.Put != nil && c.Delete == nil:
		k, ok := d.Base.kinds.findKind(c.Put)
		if !ok {
			return fmt.Errorf("access: put: %w: %T is not a record by value", ErrInvalid, c.Put)
		}
		return k.putRecord(d, c.Put)
	case c.Delete != nil && c.Put == nil:
		k, ok := d.Base.kinds.findKind(c.Delete)
		if !ok {
			return fmt.Errorf("access: delete: %w: %T is not a record by value", ErrInvalid, c.Delete)
		}
		if !k.deleteRecord(d, c.Delete) {
			return fmt.Errorf("access: delete %s: %w", d.Label(c.Delete), ErrNotFound)
		}
		return nil
	}
	return fmt.Errorf("access: change: %w: set exactly one of Put and Delete", ErrInvalid)
}

func (k *Kind[K, R]) putRecord(d *Draft, r Record) error {
	normal, err := k.Normal(d, k.FromRecord(r))
	if err != nil {
		return err
	}
	k.beginEdit(d).Put(k.ID(normal), normal)
	return nil
}

func (k *Kind[K, R]) deleteRecord(d *Draft, r Record) bool {
	id := k.getKey(r)
	if _, ok := k.In(d.Next)[id]; !ok {
		return false
	}
	return k.beginEdit(d).Delete(id)
}

// findEdit returns what the draft does to the kind, nil if it does nothing.
func (k *Kind[K, R]) findEdit(d *Draft) *Edit[K, R] {
	e, _ := d.edits[d.Base.kinds.findRow(k)].(*Edit[K, R])
	return e
}

// beginEdit returns what the draft does to the kind. If that is nothing yet, it begins with a copy
// of the kind's records.
func (k *Kind[K, R]) beginEdit(d *Draft) *Edit[K, R] {
	if e := k.findEdit(d); e != nil {
		return e
	}
	e := edit.New(k.In(d.Base))
	k.setRecords(d.Next, e.All())
	d.edits[d.Base.kinds.findRow(k)] = e
	return e
}
