package gateway

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"latchkey/gateway/access"
	"latchkey/gateway/admin"
)

// metrics is what GET /metrics shows. Nothing in it names a person, a card or an address.
type metrics struct {
	registry         *prometheus.Registry
	decisions        *prometheus.CounterVec
	outcomes         *prometheus.CounterVec
	requests         *prometheus.CounterVec
	undecided        prometheus.Counter
	durable, receipt prometheus.Histogram
}

func newMetrics(g *Gateway) *metrics {
	seconds := []float64{.0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 1.5, 3}
	m := &metrics{
		registry: prometheus.NewRegistry(),
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "latchkey_decisions_total",
			Help: "Attempts decided, by reason. Repeats of one attempt count once."}, []string{"reason"}),
		outcomes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "latchkey_commands_total",
			Help: "Commands of granted attempts, by outcome."}, []string{"outcome"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "latchkey_requests_total",
			Help: "Requests of nodes, by response code."}, []string{"code"}),
		undecided: prometheus.NewCounter(prometheus.CounterOpts{Name: "latchkey_undecided_total",
			Help: "Attempts that could not be decided and stayed shut."}),
		durable: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "latchkey_durable_seconds", Buckets: seconds,
			Help: "From reading the request to the decision on disk."}),
		receipt: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "latchkey_receipt_seconds", Buckets: seconds,
			Help: "From reading the request to the actuator's receipt."}),
	}
	m.registry.MustRegister(m.decisions, m.outcomes, m.requests, m.undecided, m.durable, m.receipt,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "latchkey_sessions", Help: "Live DTLS associations."},
			func() float64 { return float64(g.listener.Sessions()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "latchkey_sessions_max", Help: "Live DTLS associations that there may be."},
			func() float64 { return float64(g.cfg.MaxSessions) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "latchkey_devices_online", Help: "Devices registered and alive."}, func() float64 {
			n := 0
			for _, v := range g.sessions.Views(time.Now()) {
				if v.Online {
					n++
				}
			}
			return float64(n)
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "latchkey_events", Help: "Sequence number of the last event."},
			func() float64 { seq, _ := g.store.Head(); return float64(seq) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "latchkey_clock_trusted", Help: "1 when schedules can be relied on."}, func() float64 {
			if ok, _ := g.clock.trusted(time.Now()); ok {
				return 1
			}
			return 0
		}))
	for _, cause := range admin.Causes { // all from the start, so that the first failure is an increase
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "latchkey_handshake_failures_total",
			Help: "Handshakes that did not complete, by cause.", ConstLabels: prometheus.Labels{"cause": string(cause)}},
			func() float64 { return float64(g.failures.count(cause)) }))
	}
	return m
}

func (m *metrics) observe(tl Timeline) {
	if tl.Repeated {
		return
	}
	m.decisions.WithLabelValues(string(tl.Decision.Reason)).Inc()
	m.durable.Observe(tl.Durable.Sub(tl.Received).Seconds())
	if tl.Outcome != "" {
		m.outcomes.WithLabelValues(string(tl.Outcome)).Inc()
	}
	if tl.Outcome == access.OutcomeDone {
		m.receipt.Observe(tl.Acknowledged.Sub(tl.Received).Seconds())
	}
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}
