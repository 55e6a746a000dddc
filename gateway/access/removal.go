package access

import "fmt"

// Removal returns the changes that delete r and what belongs to it, for one call of [Policy.With]; r needs only its id.
// A person takes their cards, grants and memberships along, a device its keys and grants, a group the grants to and on
// it, a target its grants and memberships. What would change somebody else's access or leave a device without work is
// refused with [ErrInUse]: a target that a device points at, a schedule that a grant uses, a key of an enrolled device.
// Without such a record the error wraps [ErrNotFound].
//
// Deny grants are removed as well: show the description of each change (see [Policy.DescribeAll]) to the person who
// asks for it.
func (p *Policy) Removal(r Record) ([]Change, error) {
	found, ok := p.Get(r)
	if !ok {
		return nil, fmt.Errorf("access: remove %s: %w", p.label(r), ErrNotFound)
	}
	k, _ := p.kinds.of(found)
	changes, err := k.removal(p, found)
	if err != nil {
		return nil, err
	}
	return append(changes, Change{Delete: found}), nil
}

// andMore says how many more there are than the first of n.
func andMore(n int) string {
	if n == 1 {
		return ""
	}
	return fmt.Sprintf(" and %d more", n-1)
}
