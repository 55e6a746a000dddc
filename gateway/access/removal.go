package access

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"latchkey/keys"
)

// Removal returns the changes that delete r and what belongs to it, for one call of [Policy.With]; r needs only its id. A person takes
// their cards, grants and memberships along, a device its keys and grants, a group the grants to and on it, a target its grants and
// memberships. What would change somebody else's access or leave a device without work is refused with [ErrInUse]: a target that a
// device points at, a schedule that a grant uses, a key of an enrolled device. Without such a record the error wraps [ErrNotFound].
//
// Deny grants go as well: the description of each change (see [Policy.DescribeAll]) belongs before the eyes of who asks for it.
func (p *Policy) Removal(r Record) ([]Change, error) {
	n := namer{now: p, before: p}
	found, ok := p.Get(r)
	if !ok {
		return nil, fmt.Errorf("access: remove %s: %w", n.label(r), ErrNotFound)
	}
	var out []Change
	switch r := found.(type) {
	case Site:
		return nil, fmt.Errorf("access: site: %w: the site cannot be removed: put another", ErrInvalid)
	case keys.Key:
		return nil, fmt.Errorf("access: remove %s: %w: revoke it instead, or remove its device", n.label(r), ErrInUse)
	case Schedule:
		if users := p.grantsOn(r.ID); len(users) > 0 {
			return nil, fmt.Errorf("access: remove %s: %w by %s%s: remove that first", n.label(r), ErrInUse,
				n.label(*users[0]), andMore(len(users)))
		}
	case Target:
		if devices := p.devicesAt(r.ID); len(devices) > 0 {
			return nil, fmt.Errorf("access: remove %s: %w: %s%s points at it: remove that first", n.label(r), ErrInUse,
				n.label(devices[0]), andMore(len(devices)))
		}
		out = deletions(p.grantsAt[r.ID])
		out = append(out, p.leaveGroups(r.ID, OfTargets)...)
	case Person:
		for _, c := range p.cardsOf(r.ID) {
			out = append(out, Change{Delete: c})
		}
		out = append(out, deletions(p.grantsOf(r.ID))...)
		out = append(out, p.leaveGroups(r.ID, OfPersons)...)
	case Device:
		for _, k := range p.KeysOf(r.ID) {
			out = append(out, Change{Delete: k})
		}
		out = append(out, deletions(p.grantsOf(r.ID))...)
	case Group:
		out = deletions(append(p.grantsOf(r.ID), p.grantsAt[r.ID]...)) // one of the two is empty: a group is of persons or of targets
	}
	return append(out, Change{Delete: found}), nil
}

func andMore(n int) string {
	if n == 1 {
		return ""
	}
	return fmt.Sprintf(" and %d more", n-1)
}

func (p *Policy) cardsOf(person ID) []Credential {
	var out []Credential
	for _, c := range p.Credentials {
		if c.Person == person {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b Credential) int { return compareCredentials(a.ID, b.ID) })
	return out
}

// grantsOn returns the grants that use the schedule, by id.
func (p *Policy) grantsOn(schedule ID) []*Grant {
	var out []*Grant
	for _, g := range p.Grants {
		if g.Schedule == schedule {
			out = append(out, g)
		}
	}
	slices.SortFunc(out, func(a, b *Grant) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

func deletions(grants []*Grant) []Change {
	var out []Change
	for _, g := range grants {
		out = append(out, Change{Delete: *g})
	}
	return out
}

func (p *Policy) devicesAt(target ID) []Device {
	var out []Device
	for _, id := range slices.Sorted(maps.Keys(p.Devices)) {
		if d := p.Devices[id]; slices.Contains(d.Targets, target) {
			out = append(out, d)
		}
	}
	return out
}

func (p *Policy) leaveGroups(member ID, of GroupOf) []Change {
	var out []Change
	for _, id := range p.groupsOf[member] {
		g := p.Groups[id]
		if g.Of != of {
			continue
		}
		g.Members = slices.DeleteFunc(slices.Clone(g.Members), func(m ID) bool { return m == member })
		out = append(out, Change{Put: g})
	}
	return out
}
