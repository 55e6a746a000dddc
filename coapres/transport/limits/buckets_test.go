package limits

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"golang.org/x/time/rate"
)

// scanned is what buckets does, in the obvious way: it looks at all buckets for each new key.
type scanned map[int]*rate.Limiter

func (s scanned) find(b *buckets[int], key int, now time.Time) *rate.Limiter {
	if s[key] != nil {
		return s[key]
	}
	for k, l := range s {
		if l.TokensAt(now) >= float64(b.burst) {
			delete(s, k)
		}
	}
	if len(s) >= b.max {
		return nil
	}
	s[key] = rate.NewLimiter(b.rate, b.burst)
	return s[key]
}

// Nobody gets more or less because full buckets are evicted without looking at all of them.
func TestBucketsAreEvictedOnlyWhenFull(t *testing.T) {
	for _, tc := range []struct{ perSecond, burst, most, keys int }{
		{20, 3, 16, 60}, {1, 3, 16, 20}, {100, 200, 4, 5}, {7, 1, 8, 40}, {3, 2, 1, 3},
	} {
		t.Run(fmt.Sprint(tc), func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, uint64(tc.burst)))
			now := time.Now()
			b, all := newBuckets[int](tc.perSecond, tc.burst, tc.most), scanned{}
			var none, refused, taken int
			for i := range 50_000 {
				switch random.IntN(8) {
				case 0:
					refill := float64(time.Second) / float64(tc.perSecond)
					now = now.Add(time.Duration(random.ExpFloat64() * refill))
				case 1: // often the very moment at which a bucket is full again
					now = now.Add(time.Second / time.Duration(tc.perSecond))
				}
				key := random.IntN(tc.keys)
				got, want := b.find(key, now), all.find(&b, key, now)
				if (got == nil) != (want == nil) {
					t.Fatalf("step %d: got a bucket: %v, want %v", i, got != nil, want != nil)
				}
				if got == nil {
					none++
					continue
				}
				if random.IntN(9) == 0 { // looked at, and no token taken
					continue
				}
				n := 1 + random.IntN(tc.burst)
				ok := got.AllowN(now, n)
				if ok != want.AllowN(now, n) {
					t.Fatalf("step %d: got %d tokens: %v, want %v", i, n, ok, !ok)
				}
				if ok {
					taken++
				} else {
					refused++
				}
				if len(b.byKey) > tc.most || len(b.byKey) != len(b.queue) {
					t.Fatalf("step %d: got %d buckets and %d in the queue, want the same, at most %d", i,
						len(b.byKey), len(b.queue), tc.most)
				}
			}
			if none == 0 || taken == 0 || refused == 0 && tc.burst > 1 {
				t.Errorf("got %d without a bucket, %d taken, %d refused, want some of each", none, taken,
					refused)
			}
		})
	}
}

// What a datagram from one more forged address costs does not grow with the number of addresses.
func TestForgedSourcesCostTheSame(t *testing.T) {
	now := time.Now()
	b := NewBudget(HandshakeRate)
	calls, none := 0, 0
	for i := range 60_000 { // in 3 s
		now = now.Add(50 * time.Microsecond)
		if l := b.FindBucket(makeAddr(i), now); l == nil {
			none++
		} else {
			l.AllowN(now, SourceBurst)
		}
		// Some of those before send again, so their buckets are full later than was expected.
		if l := b.FindBucket(makeAddr(i%MaxSources), now); l != nil {
			l.AllowN(now, 1)
		}
		calls += 2
		if got := b.sources.visits; got > 2*calls {
			t.Fatalf("got %d buckets examined in %d calls, want at most two a call", got, calls)
		}
	}
	if none == 0 {
		t.Error("the table was never full")
	}
}

func BenchmarkFindBucketInFlood(b *testing.B) {
	now := time.Now()
	s := NewBudget(HandshakeRate)
	for i := 0; b.Loop(); i++ {
		now = now.Add(50 * time.Microsecond)
		if l := s.FindBucket(makeAddr(i&0xffffff), now); l != nil {
			l.AllowN(now, SourceBurst)
		}
	}
	b.ReportAllocs()
}
