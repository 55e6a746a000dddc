package limit

import (
	"sync"
	"time"
)

// maxKeys is how many keys an [Every] or a [Slowdown] remembers. A key that is forgotten starts
// again.
const maxKeys = 4096

// Every allows something once in Pause on average for each key, and counts how often it refused
// meanwhile. Burst of them may come at once; 0 means 1. Its methods are safe for concurrent use.
type Every[K comparable] struct {
	Pause time.Duration
	Burst int

	mu   sync.Mutex
	keys Recent[K, spending] // guarded by mu
}

// spending is what one key has used up, by the "generic cell rate algorithm": each use moves due
// one Pause ahead, and a key that rests has due in the past.
type spending struct {
	due    time.Time
	missed int // refusals since it was last allowed
}

// Allow tells whether it may happen now. missed is how often it was refused since it was last
// allowed.
func (e *Every[K]) Allow(key K, now time.Time) (missed int, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.keys.Keep = maxKeys
	s, _ := e.keys.Get(key)
	ahead := time.Duration(max(e.Burst, 1)-1) * e.Pause
	if ok = !now.Before(s.due.Add(-ahead)); ok {
		missed, s.missed = s.missed, 0
		if s.due.Before(now) {
			s.due = now
		}
		s.due = s.due.Add(e.Pause)
	} else {
		s.missed++
	}
	e.keys.Set(key, s, now)
	return missed, ok
}

// Forget drops a key.
func (e *Every[K]) Forget(key K) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.keys.Delete(key)
}

// Slowdown slows a key down after Count bad things within Window: then only one request in Pause
// may pass, until Window after the last bad thing. All fields are required. Its methods are safe
// for concurrent use.
type Slowdown[K comparable] struct {
	Count         int
	Window, Pause time.Duration

	mu   sync.Mutex
	keys Recent[K, *record] // guarded by mu
}

type record struct {
	times []time.Time // a ring of the last Count times
	next  int
	slow  time.Time // slowed down until then
	free  time.Time // while slowed down: when the next request may pass
}

// Wait returns how long a key must wait; 0 means that its request may pass now.
func (s *Slowdown[K]) Wait(key K, now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.keys.Get(key)
	if !ok || !now.Before(r.slow) {
		return 0
	}
	if now.Before(r.free) {
		return r.free.Sub(now)
	}
	r.free = now.Add(s.Pause)
	return 0
}

// Note counts one more bad thing. It tells whether the slowdown begins with it.
func (s *Slowdown[K]) Note(key K, now time.Time) (begins bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys.Keep = maxKeys
	r, ok := s.keys.Get(key)
	if !ok {
		r = &record{times: make([]time.Time, s.Count)}
	}
	s.keys.Set(key, r, now)
	r.times[r.next] = now
	r.next = (r.next + 1) % len(r.times)
	oldest := r.times[r.next] // zero if there were fewer than Count
	slowed := now.Before(r.slow)
	if !slowed && (oldest.IsZero() || now.Sub(oldest) > s.Window) {
		return false
	}
	r.slow = now.Add(s.Window)
	if !slowed {
		r.free = now.Add(s.Pause)
	}
	return !slowed
}
