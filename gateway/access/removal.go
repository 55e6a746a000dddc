package access

import (
	"fmt"
	"slices"

	"latchkey/gateway/text"
)

// Removal returns the changes that delete r and what belongs to it, for one call of [Policy.With];
// r needs only its id. With a person it deletes their cards, grants and memberships; with a device
// its keys and grants; with a group the grants to it and on it; with a target its grants and
// memberships. It refuses with [ErrInUse] to remove a target that a device points at, a schedule
// that a grant uses, or a key of an enrolled device, because that would change somebody else's
// access or leave a device without work. If r does not exist, the error wraps [ErrNotFound].
//
// Deny grants are removed as well, so show the description of each change (see
// [Policy.DescribeAll]) to the person who requested the removal.
func (p *Policy) Removal(r Record) ([]Change, error) {
	found, ok := p.Get(r)
	if !ok {
		return nil, fmt.Errorf("access: remove %s: %w", p.makeLabel(r), ErrNotFound)
	}
	k, _ := p.kinds.findKind(found)
	if err := k.checkStays(p, found); err != nil {
		return nil, fmt.Errorf("access: remove %s: %w", p.makeLabel(found), err)
	}
	var rm removal
	if id := k.getID(found); id != "" && !k.isLeaf() {
		rm.id, rm.refs.lost = id, map[ID]bool{id: true}
		for _, other := range p.kinds.listKinds() {
			other.followRemoval(p, &rm)
		}
	}
	if len(rm.needing) > 0 {
		return nil, fmt.Errorf("access: remove %s: %w by %s%s: remove that first", p.makeLabel(found), ErrInUse,
			p.makeLabel(rm.needing[0]), text.AndMore(len(rm.needing)-1))
	}
	return append(rm.changes, Change{Delete: found}), nil
}

// removal collects what the removal of one record does to the records that refer to it.
type removal struct {
	id      ID
	refs    References // finds that id
	changes []Change   // what happens to them
	needing []Record   // those that need the record
}

func (k *Kind[K, R]) isLeaf() bool { return k.Leaf }

func (k *Kind[K, R]) checkStays(p *Policy, r Record) error {
	if k.Stays == nil {
		return nil
	}
	return k.Stays(p, k.FromRecord(r))
}

// followRemoval notes what happens to the records of the kind.
func (k *Kind[K, R]) followRemoval(p *Policy, rm *removal) {
	found := k.referrersTo(p, rm)
	rm.changes = slices.Grow(rm.changes, len(found))
	for _, r := range found {
		if k.Follow != nil {
			if c, ok := k.Follow(r, rm.id); ok {
				rm.changes = append(rm.changes, c)
				continue
			}
		}
		rm.needing = append(rm.needing, k.ToRecord(r))
	}
}

// referrersTo returns the records of the kind that refer to the removed one, in an order that
// depends only on the records.
func (k *Kind[K, R]) referrersTo(p *Policy, rm *removal) []R {
	if k.References == nil {
		return nil
	}
	if k.referrers != nil {
		if found, ok := k.referrers(p, rm.id); ok {
			return found
		}
	}
	var found []R
	for _, r := range k.In(p) {
		rm.refs.found = false
		if k.References(r, &rm.refs); rm.refs.found {
			found = append(found, r)
		}
	}
	slices.SortFunc(found, func(a, b R) int { return k.Order(k.ID(a), k.ID(b)) })
	return found
}
