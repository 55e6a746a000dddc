package access

import (
	"fmt"
	"maps"
)

// updateIndexes updates the names and the policy's indexes, and copies those that change. It
// refuses a name that is taken.
func (d *Draft) updateIndexes() error {
	kinds := d.Base.kinds.listKinds()
	for _, k := range kinds {
		if err := k.indexNames(d); err != nil {
			return err
		}
	}
	for _, k := range kinds {
		if err := k.updateIndexes(d); err != nil {
			return err
		}
	}
	return nil
}

// indexNames removes all old names before it adds new ones, so that two records may swap theirs.
func (k *Kind[K, R]) indexNames(d *Draft) error {
	e := k.findEdit(d)
	if e == nil || k.NameOf == nil {
		return nil
	}
	index, copied := k.listNames(d.Base), false
	copyOnce := func() {
		if !copied {
			index, copied = maps.Clone(index), true
		}
	}
	for _, id := range e.Touched {
		before, was := e.Before(id)
		after, is := e.After(id)
		if was && (!is || k.NameOf(before) != k.NameOf(after)) {
			copyOnce()
			delete(index, k.NameOf(before))
		}
	}
	for _, id := range e.Touched {
		r, is := e.After(id)
		if !is {
			continue
		}
		other, taken := index[k.NameOf(r)]
		if taken && other != id {
			return fmt.Errorf("access: %s: %w: the name is taken: choose another",
				d.Label(k.ToRecord(r)), ErrConflict)
		}
		if !taken {
			copyOnce()
			index[k.NameOf(r)] = id
		}
	}
	d.Next.names[d.Base.kinds.findRow(k)] = index
	return nil
}

func (k *Kind[K, R]) updateIndexes(d *Draft) error {
	if e := k.findEdit(d); e != nil && k.Index != nil {
		return k.Index(d, e)
	}
	return nil
}
