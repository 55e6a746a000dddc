package observe

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"latchkey/gateway/audit"
)

// Latency says how long attempts took. A repeated attempt counts once.
type Latency struct {
	Since   time.Time    `json:"since" doc:"the gateway's start"`
	Durable Distribution `json:"durable" doc:"from reading the request to the decision on disk"`
	Receipt Distribution `json:"receipt" doc:"from reading the request to the actuator's receipt, where it was done"`
}

// Distribution is the distribution of many durations, in milliseconds. Two digits are exact.
type Distribution struct {
	Count int64   `json:"count"`
	P50   float64 `json:"p50" doc:"ms; half took no longer"`
	P90   float64 `json:"p90" doc:"ms"`
	P99   float64 `json:"p99" doc:"ms"`
	P999  float64 `json:"p999" doc:"ms; of a thousand, 999 took no longer"`
	Max   float64 `json:"max" doc:"ms"`
	Curve []Point `json:"curve" doc:"of all of them, for a plot; at most some hundred points"`
}

// Point is a point of a curve: so many percent took no longer than that.
type Point struct {
	Percentile float64 `json:"percentile"`
	MS         float64 `json:"ms"`
}

// Latencies records how long attempts took since the gateway started. It takes 41 KB, however many
// there are. [NewLatencies] makes one. Its methods are safe for concurrent use.
type Latencies struct {
	since time.Time

	mu               sync.Mutex
	durable, receipt *hdrhistogram.Histogram // guarded by mu; in µs
}

const (
	longestTold  = time.Minute
	latencyDigit = 2
)

// NewLatencies returns an empty record that begins now.
func NewLatencies(now time.Time) *Latencies {
	h := func() *hdrhistogram.Histogram {
		return hdrhistogram.New(1, longestTold.Microseconds(),
			latencyDigit)
	}
	return &Latencies{since: now, durable: h(), receipt: h()}
}

// Observe records an attempt. It ignores repetitions.
func (l *Latencies) Observe(tl Timeline) {
	if tl.Repeated {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	put := func(h *hdrhistogram.Histogram, d time.Duration) {
		_ = h.RecordValue(min(max(d, time.Microsecond), longestTold).Microseconds()) // within its bounds
	}
	put(l.durable, tl.Durable.Sub(tl.Received))
	if tl.Outcome == audit.OutcomeDone {
		put(l.receipt, tl.Acknowledged.Sub(tl.Received))
	}
}

// Snapshot returns what was recorded so far.
func (l *Latencies) Snapshot() Latency {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Latency{Since: l.since, Durable: distribution(l.durable), Receipt: distribution(l.receipt)}
}

func distribution(h *hdrhistogram.Histogram) Distribution {
	ms := func(µs int64) float64 { return float64(µs) / 1000 }
	d := Distribution{Count: h.TotalCount(), Curve: []Point{}}
	if d.Count == 0 {
		return d
	}
	d.P50, d.P90, d.P99 = ms(h.ValueAtQuantile(50)), ms(h.ValueAtQuantile(90)), ms(h.ValueAtQuantile(99))
	d.P999, d.Max = ms(h.ValueAtQuantile(99.9)), ms(h.Max())
	for _, b := range h.CumulativeDistributionWithTicks(curveTicks) {
		d.Curve = append(d.Curve, Point{Percentile: b.Quantile, MS: ms(b.ValueAt)})
	}
	return d
}

// curveTicks is the number of points of a curve for each halving of the rest.
const curveTicks = 4
