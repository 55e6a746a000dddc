package access

import (
	"maps"
	"slices"
)

// indexGrants brings Policy.grantsAt up to date. It copies the lists of the places whose grants
// changed.
func indexGrants(d *Draft, e *Edit[ID, *Grant]) error {
	type difference struct{ less, more []*Grant }
	differences := map[ID]*difference{}
	at := func(place ID) *difference {
		if differences[place] == nil {
			differences[place] = &difference{}
		}
		return differences[place]
	}
	for _, id := range e.Touched {
		if g, was := e.Before(id); was {
			x := at(g.getPlace())
			x.less = append(x.less, g)
		}
		if g, is := e.After(id); is {
			x := at(g.getPlace())
			x.more = append(x.more, g)
		}
	}
	index := maps.Clone(d.Next.grantsAt)
	for place, x := range differences {
		if index[place] = mergeGrants(index[place], x.less, x.more); len(index[place]) == 0 {
			delete(index, place)
		}
	}
	d.Next.grantsAt = index
	return nil
}

// mergeGrants returns a new sorted list without less and with more. Few changes are put in place
// one by one; many are sorted once.
func mergeGrants(list, less, more []*Grant) []*Grant {
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
