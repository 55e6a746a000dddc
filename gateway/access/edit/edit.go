// Package edit has the data structures with which a policy is changed. They know no kind of record.
package edit

import (
	"maps"
	"slices"
)

// Edit is what a draft does to the records of one kind. K is the type of their ids. The zero value
// is of no use: call [New].
type Edit[K comparable, R any] struct {
	Touched []K // each id once, in the order of the changes

	before, after map[K]R
	undone        bool       // a record was put and deleted again
	seen          map[K]bool // of Touched, once there are many
	room          [8]K
}

// manyTouched is the number of ids from which a map is quicker to search than a list.
const manyTouched = 32

// New begins an edit with a copy of the records.
func New[K comparable, R any](before map[K]R) *Edit[K, R] {
	e := &Edit[K, R]{before: before, after: maps.Clone(before)}
	e.Touched = e.room[:0]
	return e
}

// Put adds a record, or writes it over the one with that id.
func (e *Edit[K, R]) Put(id K, r R) {
	e.noteTouch(id)
	e.after[id] = r
}

// Delete deletes a record. It returns false if there is none with that id.
func (e *Edit[K, R]) Delete(id K) bool {
	if _, is := e.after[id]; !is {
		return false
	}
	e.noteTouch(id)
	delete(e.after, id)
	if _, was := e.before[id]; !was {
		e.undone = true
	}
	return true
}

// Before returns the record as it was.
func (e *Edit[K, R]) Before(id K) (R, bool) { r, ok := e.before[id]; return r, ok }

// After returns the record as it will be.
func (e *Edit[K, R]) After(id K) (R, bool) { r, ok := e.after[id]; return r, ok }

// All returns every record of the kind as it will be. Do not write to it.
func (e *Edit[K, R]) All() map[K]R { return e.after }

// noteTouch notes an id before its record is put or deleted.
func (e *Edit[K, R]) noteTouch(id K) {
	_, was := e.before[id]
	_, is := e.after[id]
	switch {
	case was != is: // it was put or deleted before in this draft
		return
	case !was && !e.undone: // it is new
	case e.HasTouched(id):
		return
	}
	e.Touched = append(e.Touched, id)
	if e.seen != nil {
		e.seen[id] = true
	}
}

// HasTouched tells whether id is in Touched. It keeps a map of them once there are many.
func (e *Edit[K, R]) HasTouched(id K) bool {
	if len(e.Touched) < manyTouched {
		return slices.Contains(e.Touched, id)
	}
	if e.seen == nil {
		e.seen = make(map[K]bool, 2*len(e.Touched))
		for _, touched := range e.Touched {
			e.seen[touched] = true
		}
	}
	return e.seen[id]
}

// mergeSorted returns a new sorted list without less and with more. It may sort less. Few changes
// are put in place one by one; many are sorted once.
func mergeSorted[E any](list, less, more []E, compare func(a, b E) int) []E {
	out := make([]E, 0, len(list)+len(more))
	if len(less) > 16 {
		slices.SortFunc(less, compare)
		for _, e := range list {
			if _, gone := slices.BinarySearchFunc(less, e, compare); !gone {
				out = append(out, e)
			}
		}
	} else {
		out = append(out, list...)
		for _, e := range less {
			if i, ok := slices.BinarySearchFunc(out, e, compare); ok {
				out = slices.Delete(out, i, i+1)
			}
		}
	}
	if len(more) > 16 {
		out = append(out, more...)
		slices.SortFunc(out, compare)
		return out
	}
	for _, e := range more {
		i, _ := slices.BinarySearchFunc(out, e, compare)
		out = slices.Insert(out, i, e)
	}
	return out
}

// UpdateIndex returns a new version of an index after an edit: a map from a place to the records
// there, sorted. It copies the lists of the places whose records changed. compare returns 0 only for
// versions of the same record.
func UpdateIndex[K, P comparable, R any](index map[P][]R, e *Edit[K, R], place func(R) P,
	compare func(a, b R) int) map[P][]R {
	type difference struct{ less, more []R }
	differences := map[P]*difference{}
	at := func(r R) *difference {
		d := differences[place(r)]
		if d == nil {
			d = &difference{}
			differences[place(r)] = d
		}
		return d
	}
	for _, id := range e.Touched {
		if r, was := e.Before(id); was {
			d := at(r)
			d.less = append(d.less, r)
		}
		if r, is := e.After(id); is {
			d := at(r)
			d.more = append(d.more, r)
		}
	}
	index = maps.Clone(index)
	for p, d := range differences {
		if index[p] = mergeSorted(index[p], d.less, d.more, compare); len(index[p]) == 0 {
			delete(index, p)
		}
	}
	return index
}
