package load

import (
	"math"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Longest is the longest time that Latencies record. A longer time counts as Longest.
const Longest = time.Minute

// Latencies holds the times of many operations, failed ones included, with three significant
// digits. It is safe for concurrent use.
type Latencies struct {
	mu     sync.Mutex
	h      *hdrhistogram.Histogram // guarded by mu; in 100 ns
	failed int                     // guarded by mu
	first  error                   // guarded by mu
}

const grain = 100 * time.Nanosecond

// NewLatencies returns an empty set.
func NewLatencies() *Latencies {
	return &Latencies{h: hdrhistogram.New(1, int64(Longest/grain), 3)}
}

// Add adds an operation that took d. A failed operation counts with its time as well; without it
// the figures would be too good.
func (l *Latencies) Add(d time.Duration, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.failed++
		if l.first == nil {
			l.first = err
		}
	}
	// Cannot fail: the value is within the bounds.
	_ = l.h.RecordValue(int64(min(max(d, grain), Longest) / grain))
}

// Merge adds all times of another set.
func (l *Latencies) Merge(o *Latencies) {
	o.mu.Lock()
	h, failed, first := hdrhistogram.Import(o.h.Export()), o.failed, o.first
	o.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.h.Merge(h)
	l.failed += failed
	if l.first == nil {
		l.first = first
	}
}

// Count returns the number of operations.
func (l *Latencies) Count() int { l.mu.Lock(); defer l.mu.Unlock(); return int(l.h.TotalCount()) }

// Failed returns how many operations failed, and why the first of them did.
func (l *Latencies) Failed() (int, error) { l.mu.Lock(); defer l.mu.Unlock(); return l.failed, l.first }

// At returns the time in µs within which the given percentage of the operations was done.
func (l *Latencies) At(percentile float64) float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return micros(l.h.ValueAtQuantile(percentile))
}

// Max returns the longest time in µs.
func (l *Latencies) Max() float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return micros(l.h.Max())
}

func micros(v int64) float64 { return float64(v) * float64(grain) / float64(time.Microsecond) }

// Curve returns the distribution: percentiles, and the time of each in µs. It ends at the
// percentile beyond which there is one operation.
func (l *Latencies) Curve() [][2]float64 {
	n := l.Count()
	var points [][2]float64
	// Two points for each halving of what is left.
	for tail := 1.0; n > 0 && tail*float64(n) >= 1; tail /= math.Sqrt2 {
		p := 100 * (1 - tail)
		points = append(points, [2]float64{p, l.At(p)})
	}
	return points
}

// Reset empties the set.
func (l *Latencies) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.h.Reset()
	l.failed, l.first = 0, nil
}
