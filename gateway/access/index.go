package access

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"latchkey/keys"
)

// index brings the unexported indexes of the draft up to date, copying those that change. It finds names that are taken and targets
// that would have two actuators.
func (d *draft) index() error {
	err := cmp.Or(
		rename(d, personNames, &d.persons, func(r Person) string { return r.Name }),
		rename(d, targetNames, &d.targets, func(r Target) string { return r.Name }),
		rename(d, deviceNames, &d.devices, func(r Device) string { return r.Name }),
		rename(d, groupNames, &d.groups, func(r Group) string { return r.Name }),
		rename(d, scheduleNames, &d.schedules, func(r Schedule) string { return r.Name }),
		rename(d, accountNames, &d.accounts, func(r Account) string { return r.Name }),
		d.indexActuators(),
		d.indexSchedules(),
	)
	if err != nil {
		return err
	}
	d.indexGroups()
	d.indexKeys()
	d.indexGrants()
	return nil
}

// rename takes all old names away before it gives new ones, so that two records may swap theirs.
func rename[V any](d *draft, kind int, e *edit[ID, V], name func(V) string) error {
	index, owned := d.next.names[kind], false
	own := func() {
		if !owned {
			index, owned = maps.Clone(index), true
		}
	}
	for _, id := range e.touched {
		before, was := e.base[id]
		after, is := (*e.now)[id]
		if was && (!is || name(before) != name(after)) {
			own()
			delete(index, name(before))
		}
	}
	for _, id := range e.touched {
		r, is := (*e.now)[id]
		if !is {
			continue
		}
		other, taken := index[name(r)]
		if taken && other != id {
			return fmt.Errorf("access: %s: %w: the name is taken: choose another", d.label(r), ErrConflict)
		}
		if !taken {
			own()
			index[name(r)] = id
		}
	}
	d.next.names[kind] = index
	return nil
}

func (d *draft) indexActuators() error {
	if len(d.devices.touched) == 0 {
		return nil
	}
	index := maps.Clone(d.next.actuators)
	for _, id := range d.devices.touched {
		if r, was := d.base.Devices[id]; was && r.Kind.Actuator() {
			delete(index, r.Targets[0])
		}
	}
	for _, id := range d.devices.touched {
		r, is := d.next.Devices[id]
		if !is || !r.Kind.Actuator() {
			continue
		}
		target := r.Targets[0]
		if other, taken := index[target]; taken {
			return fmt.Errorf("access: %s: %w: %s already has %s, and a target has one actuator: remove that one first",
				d.label(r), ErrInvalid, d.label(d.next.Targets[target]), d.label(d.next.Devices[other]))
		}
		index[target] = id
	}
	d.next.actuators = index
	return nil
}

func (d *draft) indexSchedules() error {
	if len(d.schedules.touched) == 0 {
		return nil
	}
	index := maps.Clone(d.next.weekly)
	for _, id := range d.schedules.touched {
		r, is := d.next.Schedules[id]
		if !is {
			delete(index, id)
			continue
		}
		w, err := parseSchedule(r.Text)
		if err != nil {
			return fmt.Errorf("access: %s: %w", d.label(r), err)
		}
		index[id] = w
	}
	d.next.weekly = index
	return nil
}

// indexGroups starts over: memberships are few beside what a scan of them costs.
func (d *draft) indexGroups() {
	if len(d.groups.touched) == 0 {
		return
	}
	index := make(map[ID][]ID, len(d.next.groupsOf))
	for _, id := range slices.Sorted(maps.Keys(d.next.Groups)) {
		for _, member := range d.next.Groups[id].Members {
			index[member] = append(index[member], id)
		}
	}
	d.next.groupsOf = index
}

func (d *draft) indexKeys() {
	if len(d.keys.touched) == 0 {
		return
	}
	index := maps.Clone(d.next.keysOf)
	for _, id := range d.keys.touched {
		old, was := d.base.Keys[id]
		k, is := d.next.Keys[id]
		device := ID(cmp.Or(k.Device, old.Device))
		list := slices.Clone(index[device])
		if was {
			list = slices.DeleteFunc(list, func(other keys.ID) bool { return other == id })
		}
		if is {
			list = append(list, id)
			slices.SortFunc(list, func(a, b keys.ID) int {
				return cmp.Or(d.next.Keys[a].Created.Compare(d.next.Keys[b].Created), cmp.Compare(a, b))
			})
		}
		if index[device] = list; len(list) == 0 {
			delete(index, device)
		}
	}
	d.next.keysOf = index
}

// place is where a grant stands in Policy.grantsAt.
func (g *Grant) place() ID { return cmp.Or(g.Target, g.TargetGroup) }

func compareGrants(a, b *Grant) int {
	return cmp.Or(cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.ID, b.ID))
}

// firstOf returns where the subject's grants begin in a list sorted by compareGrants.
func firstOf(list []*Grant, subject ID) int {
	i, _ := slices.BinarySearchFunc(list, subject, func(g *Grant, s ID) int {
		if g.Subject < s {
			return -1
		}
		return 1 // never equal: the search ends at the first one
	})
	return i
}

// grantsOf returns the grants to the subject, by id.
func (p *Policy) grantsOf(subject ID) []*Grant {
	var out []*Grant
	for _, list := range p.grantsAt {
		for i := firstOf(list, subject); i < len(list) && list[i].Subject == subject; i++ {
			out = append(out, list[i])
		}
	}
	slices.SortFunc(out, func(a, b *Grant) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

func (d *draft) indexGrants() {
	if len(d.grants.touched) == 0 {
		return
	}
	type difference struct{ less, more []*Grant }
	differences := map[ID]*difference{}
	at := func(place ID) *difference {
		if differences[place] == nil {
			differences[place] = &difference{}
		}
		return differences[place]
	}
	for _, id := range d.grants.touched {
		if g, was := d.base.Grants[id]; was {
			x := at(g.place())
			x.less = append(x.less, g)
		}
		if g, is := d.next.Grants[id]; is {
			x := at(g.place())
			x.more = append(x.more, g)
		}
	}
	index := maps.Clone(d.next.grantsAt)
	for place, x := range differences {
		if index[place] = merge(index[place], x.less, x.more); len(index[place]) == 0 {
			delete(index, place)
		}
	}
	d.next.grantsAt = index
}

// merge returns a new sorted list without less and with more. Few changes are put in place one by one; many are sorted once.
func merge(list, less, more []*Grant) []*Grant {
	out := make([]*Grant, 0, len(list)+len(more))
	if len(less) > 16 {
		gone := make(map[*Grant]bool, len(less))
		for _, g := range less {
			gone[g] = true
		}
		for _, g := range list {
			if !gone[g] {
				out = append(out, g)
			}
		}
	} else {
		out = append(out, list...)
		for _, g := range less {
			if i, ok := slices.BinarySearchFunc(out, g, compareGrants); ok {
				out = slices.Delete(out, i, i+1)
			}
		}
	}
	if len(more) > 16 {
		out = append(out, more...)
		slices.SortFunc(out, compareGrants)
		return out
	}
	for _, g := range more {
		i, _ := slices.BinarySearchFunc(out, g, compareGrants)
		out = slices.Insert(out, i, g)
	}
	return out
}
