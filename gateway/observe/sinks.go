package observe

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// SinkFigures are the figures of one sink. The counts begin with the gateway.
type SinkFigures struct {
	Name   string
	Lag    uint64        // events that are not done with
	Age    time.Duration // of the first of these
	Taken  uint64
	Failed map[string]uint64 // by kind of failure
	Dead   int               // dead letters
}

// AddSinks adds the figures of the sinks, which read returns at each request.
func (m *Metrics) AddSinks(read func() []SinkFigures) { m.registry.MustRegister(sinkCollector(read)) }

// sinkCollector reads the figures of the sinks when Prometheus asks.
type sinkCollector func() []SinkFigures

func describeSink(name, help string, more ...string) *prometheus.Desc {
	return prometheus.NewDesc("latchkey_sink_"+name, help, append([]string{"sink"}, more...), nil)
}

var (
	sinkLag    = describeSink("lag_events", "Events that the sink's server has not taken yet.")
	sinkAge    = describeSink("lag_seconds", "Age of the first of these events.")
	sinkTaken  = describeSink("taken_total", "Events that the sink's server has taken.")
	sinkFailed = describeSink("failed_total", "Failures to send.", "why")
	sinkDead   = describeSink("dead", "Events that the sink's server has refused for good.")
)

func (sinkCollector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{sinkLag, sinkAge, sinkTaken, sinkFailed, sinkDead} {
		to <- d
	}
}

func (c sinkCollector) Collect(to chan<- prometheus.Metric) {
	for _, s := range c() {
		for _, m := range []struct {
			is    *prometheus.Desc
			kind  prometheus.ValueType
			value float64
		}{
			{sinkLag, prometheus.GaugeValue, float64(s.Lag)},
			{sinkAge, prometheus.GaugeValue, s.Age.Seconds()},
			{sinkTaken, prometheus.CounterValue, float64(s.Taken)},
			{sinkDead, prometheus.GaugeValue, float64(s.Dead)},
		} {
			to <- prometheus.MustNewConstMetric(m.is, m.kind, m.value, s.Name)
		}
		for why, n := range s.Failed {
			to <- prometheus.MustNewConstMetric(sinkFailed, prometheus.CounterValue, float64(n), s.Name, why)
		}
	}
}
