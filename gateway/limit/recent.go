package limit

import (
	"iter"
	"time"
)

// Recent keeps at most Keep values, those of the keys that were set last. So invented keys cannot
// fill the memory. Keep is required. It is not safe for concurrent use.
type Recent[K comparable, V any] struct {
	Keep   int
	values map[K]dated[V]
}

type dated[V any] struct {
	value V
	at    time.Time
}

// Get returns the value of a key.
func (r *Recent[K, V]) Get(key K) (value V, ok bool) {
	d, ok := r.values[key]
	return d.value, ok
}

// Set stores a value with the time now. If there is no room, a new key evicts the one that was set
// longest ago.
func (r *Recent[K, V]) Set(key K, value V, now time.Time) {
	if _, ok := r.values[key]; !ok && len(r.values) >= r.Keep {
		r.evictOldest()
	}
	if r.values == nil {
		r.values = map[K]dated[V]{}
	}
	r.values[key] = dated[V]{value, now}
}

// Delete drops a key.
func (r *Recent[K, V]) Delete(key K) { delete(r.values, key) }

// Len returns the number of keys.
func (r *Recent[K, V]) Len() int { return len(r.values) }

// Values returns all values, in no order.
func (r *Recent[K, V]) Values() iter.Seq[V] {
	return func(yield func(V) bool) {
		for _, d := range r.values {
			if !yield(d.value) {
				return
			}
		}
	}
}

func (r *Recent[K, V]) evictOldest() {
	var oldest K
	var at time.Time
	first := true
	for key, d := range r.values {
		if first || d.at.Before(at) {
			oldest, at, first = key, d.at, false
		}
	}
	delete(r.values, oldest)
}
