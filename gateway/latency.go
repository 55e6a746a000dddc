package gateway

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"latchkey/gateway/access"
	"latchkey/gateway/admin"
)

// latency is how long attempts took since the gateway started. It takes 41 KB, however many there are.
type latency struct {
	since time.Time

	mu               sync.Mutex
	durable, receipt *hdrhistogram.Histogram // guarded by mu; in µs
}

const (
	longestTold  = time.Minute
	latencyDigit = 2
)

func newLatency(now time.Time) *latency {
	h := func() *hdrhistogram.Histogram { return hdrhistogram.New(1, longestTold.Microseconds(), latencyDigit) }
	return &latency{since: now, durable: h(), receipt: h()}
}

func (l *latency) observe(tl Timeline) {
	if tl.Repeated {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	put := func(h *hdrhistogram.Histogram, d time.Duration) {
		_ = h.RecordValue(min(max(d, time.Microsecond), longestTold).Microseconds()) // within its bounds
	}
	put(l.durable, tl.Durable.Sub(tl.Received))
	if tl.Outcome == access.OutcomeDone {
		put(l.receipt, tl.Acknowledged.Sub(tl.Received))
	}
}

func (l *latency) view() admin.Latency {
	l.mu.Lock()
	defer l.mu.Unlock()
	return admin.Latency{Since: l.since, Durable: distribution(l.durable), Receipt: distribution(l.receipt)}
}

func distribution(h *hdrhistogram.Histogram) admin.Distribution {
	ms := func(µs int64) float64 { return float64(µs) / 1000 }
	d := admin.Distribution{Count: h.TotalCount(), Curve: []admin.Point{}}
	if d.Count == 0 {
		return d
	}
	d.P50, d.P90, d.P99, d.P999, d.Max = ms(h.ValueAtQuantile(50)), ms(h.ValueAtQuantile(90)), ms(h.ValueAtQuantile(99)), ms(h.ValueAtQuantile(99.9)), ms(h.Max())
	for _, b := range h.CumulativeDistributionWithTicks(curveTicks) {
		d.Curve = append(d.Curve, admin.Point{Percentile: b.Quantile, MS: ms(b.ValueAt)})
	}
	return d
}

// curveTicks are the points of a curve for each halving of what is beyond.
const curveTicks = 4
