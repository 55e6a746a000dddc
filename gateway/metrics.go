package gateway

import (
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"latchkey/coapres/transport"
	"latchkey/gateway/access"
	"latchkey/gateway/doctor"
	"latchkey/gateway/door"
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
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "latchkey_alarms", Help: "Alarms that nobody has acknowledged."},
			func() float64 { return float64(len(g.alarms.all(""))) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "latchkey_events", Help: "Sequence number of the last event."},
			func() float64 { seq, _ := g.store.Head(); return float64(seq) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "latchkey_store_verified_timestamp_seconds",
			Help: "When all files and events were last verified; 0 before the first time since the start."}, func() float64 {
			at, _, _ := g.store.Verified()
			if at.IsZero() {
				return 0
			}
			return float64(at.Unix())
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "latchkey_store_damaged", Help: "1 when the last verification found damage."}, func() float64 {
			if _, _, problem := g.store.Verified(); problem != nil {
				return 1
			}
			return 0
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "latchkey_clock_trusted", Help: "1 when schedules can be relied on."}, func() float64 {
			if ok, _ := g.clock.Trusted(time.Now()); ok {
				return 1
			}
			return 0
		}))
	for _, code := range []string{doctor.CodeStore, doctor.CodeSpace, doctor.CodeSlow, doctor.CodeClock} {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "latchkey_not_ready",
			Help: "1 when a card that may enter would not be let in now, by what stands in the way.", ConstLabels: prometheus.Labels{"reason": code}},
			func() float64 {
				if slices.ContainsFunc(doctor.CheckHealth(g.store, g.clock.Trusted), func(f doctor.Finding) bool { return f.Code == code }) {
					return 1
				}
				return 0
			}))
	}
	for _, c := range []struct {
		name, help string
		of         func(transport.Stats) uint64
	}{
		{"hellos", "ClientHellos, of any kind.", func(s transport.Stats) uint64 { return s.Hellos }},
		{"cookies", "HelloVerifyRequests sent: the answer to a first ClientHello.", func(s transport.Stats) uint64 { return s.Cookies }},
		{"handshakes", "Handshakes begun: the cookie came back.", func(s transport.Stats) uint64 { return s.Handshakes }},
		{"handshakes_completed", "Handshakes that completed.", func(s transport.Stats) uint64 { return s.Finished }},
		{"sessions_replaced", "Sessions ended by a newer handshake from their own address.", func(s transport.Stats) uint64 { return s.Replaced }},
		{"sessions_moved", "New addresses of sessions.", func(s transport.Stats) uint64 { return s.Moved }},
		{"records_ignored", "Records for nobody, or that nobody may send in the clear.", func(s transport.Stats) uint64 { return s.Ignored }},
		{"records_overflow", "Records dropped because their session does not keep up.", func(s transport.Stats) uint64 { return s.Overflow }},
		{"records_undecryptable", "Records that failed to decrypt.", func(s transport.Stats) uint64 { return s.Undecryptable }},
		{"records_replayed", "Records that came twice, or too late.", func(s transport.Stats) uint64 { return s.Replayed }},
		{"hints", "HelloRequests sent to nodes whose sessions are not known here, as after a restart.", func(s transport.Stats) uint64 { return s.Hints }},
		{"datagrams_unsent", "Datagrams that could not be sent.", func(s transport.Stats) uint64 { return s.Lost }},
	} {
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "latchkey_" + c.name + "_total", Help: c.help},
			func() float64 { return float64(c.of(g.listener.Stats())) }))
	}
	m.registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "latchkey_handshakes_open", Help: "Handshakes under way."},
			func() float64 { return float64(g.listener.Stats().HalfOpen) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "latchkey_receive_buffer_bytes", Help: "What the kernel holds for us at most; 0 if it does not say."},
			func() float64 { return float64(g.listener.Stats().ReceiveBuffer) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "latchkey_stateless_cookie", Help: "1 when a first ClientHello leaves nothing behind."},
			func() float64 {
				if g.listener.Stats().Stateless {
					return 1
				}
				return 0
			}))
	for _, h := range door.Headlines {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "latchkey_doors",
			Help: "Doors, by what they are now.", ConstLabels: prometheus.Labels{"state": string(h)}},
			func() float64 { return float64(g.doorsThatAre(h)) }))
	}
	for _, cause := range doctor.Causes { // all from the start, so that the first failure is an increase
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "latchkey_handshake_failures_total",
			Help: "Handshakes that did not complete, by cause.", ConstLabels: prometheus.Labels{"cause": string(cause)}},
			func() float64 { return float64(g.handshakes.Count(cause)) }))
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
