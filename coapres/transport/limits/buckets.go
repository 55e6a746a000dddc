package limits

import (
	"container/heap"
	"time"

	"golang.org/x/time/rate"
)

// buckets holds a token bucket for each key that took tokens lately. A full bucket is the same as a
// new one, so it may be evicted and nobody gets more or less for it; no other bucket ever is. The
// caller locks.
//
// Anybody can send from any number of forged addresses, so what a new key costs must not grow with
// the number of keys. Therefore the buckets are in a heap, ordered by a time before which each is
// not full. While the first of them is not due, none is full, and nothing else has to be looked at.
type buckets[K comparable] struct {
	rate       rate.Limit
	burst, max int
	byKey      map[K]*rate.Limiter
	queue      bucketHeap[K]
	visits     int // how many buckets were examined for eviction, for tests
}

type queued[K comparable] struct {
	key    K
	bucket *rate.Limiter
	full   time.Time // not full before then, and maybe later: it moves only when the time has come
}

func newBuckets[K comparable](perSecond, burst, limit int) buckets[K] {
	return buckets[K]{rate: rate.Limit(perSecond), burst: burst, max: limit, byKey: map[K]*rate.Limiter{}}
}

// find returns the bucket of a key, a full one if the key is new. It is nil when there are too many
// keys that took tokens lately.
func (b *buckets[K]) find(key K, now time.Time) *rate.Limiter {
	if l := b.byKey[key]; l != nil {
		return l
	}
	b.evictFull(now)
	if len(b.byKey) >= b.max {
		return nil
	}
	l := rate.NewLimiter(b.rate, b.burst)
	b.byKey[key] = l
	heap.Push(&b.queue, queued[K]{key, l, now})
	return l
}

// evictFull evicts some full buckets, so that a new key finds room if any bucket is full. A bucket is
// examined once after it took tokens and once more to be evicted, so the calls before have paid for
// however many are examined here.
func (b *buckets[K]) evictFull(now time.Time) {
	const some = 4
	for n := 0; len(b.queue) > 0 && (n < some || len(b.byKey) >= b.max); n++ {
		first := &b.queue[0]
		if first.full.After(now) {
			return
		}
		b.visits++
		missing := float64(b.burst) - first.bucket.TokensAt(now)
		if missing <= 0 {
			delete(b.byKey, first.key)
			heap.Pop(&b.queue)
			continue
		}
		wait := time.Duration(missing / float64(b.rate) * float64(time.Second))
		first.full = now.Add(max(wait, 1)) // always later, so that this loop ends
		heap.Fix(&b.queue, 0)
	}
}

// bucketHeap is a heap for [container/heap].
type bucketHeap[K comparable] []queued[K]

func (h bucketHeap[K]) Len() int           { return len(h) }
func (h bucketHeap[K]) Less(i, j int) bool { return h[i].full.Before(h[j].full) }
func (h bucketHeap[K]) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *bucketHeap[K]) Push(x any)        { *h = append(*h, x.(queued[K])) }
func (h *bucketHeap[K]) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	(*h)[last] = queued[K]{}
	*h = (*h)[:last]
	return x
}
