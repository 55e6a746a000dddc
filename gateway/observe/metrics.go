// Package observe counts what a gateway does: how long attempts took, and figures for Prometheus.
// It changes nothing, and nothing in it names a person, a card or an address.
package observe

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"latchkey/coapres/transport"
	"latchkey/gateway/audit"
	"latchkey/gateway/door"
	"latchkey/keys"
)

// Sources are the functions that read figures when somebody asks for them. All are required.
type Sources struct {
	Listener interface {
		Sessions() int
		Stats() transport.Stats
	}
	Store interface {
		Head() (seq uint64, hash keys.Hash)
		Verified() (at time.Time, seq uint64, problem error)
	}
	MaxSessions  int
	Online       func() int // devices that are registered and alive
	Alarms       func() int // alarms that nobody has acknowledged
	Doors        func(door.Headline) int
	ClockTrusted func(now time.Time) (trusted bool, why string)

	Causes   []string // of handshakes that failed
	Failures func(cause string) uint64
	Reasons  []string // why a card that may enter might not be let in
	NotReady func(reason string) bool
}

// Metrics holds the figures that GET /metrics shows. [NewMetrics] makes it. Its methods are safe
// for concurrent use.
type Metrics struct {
	registry         *prometheus.Registry
	decisions        *prometheus.CounterVec
	outcomes         *prometheus.CounterVec
	requests         *prometheus.CounterVec
	undecided        prometheus.Counter
	durable, receipt prometheus.Histogram
}

// NewMetrics returns the figures. Each of them is shown from the start, as 0.
func NewMetrics(src Sources) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	m.registerAttempts()
	m.registerDevices(src)
	m.registerStore(src)
	m.registerTransport(src)
	return m
}

func (m *Metrics) registerAttempts() {
	m.decisions = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "latchkey_decisions_total",
		Help: "Attempts decided, by reason. Repeats of one attempt count once."}, []string{"reason"})
	m.outcomes = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "latchkey_commands_total",
		Help: "Commands of granted attempts, by outcome."}, []string{"outcome"})
	m.requests = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "latchkey_requests_total",
		Help: "Requests of nodes, by response code."}, []string{"code"})
	m.undecided = prometheus.NewCounter(prometheus.CounterOpts{Name: "latchkey_undecided_total",
		Help: "Attempts that could not be decided and stayed shut."})
	seconds := []float64{.0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 1.5, 3}
	m.durable = prometheus.NewHistogram(prometheus.HistogramOpts{Name: "latchkey_durable_seconds",
		Buckets: seconds, Help: "From reading the request to the decision on disk."})
	m.receipt = prometheus.NewHistogram(prometheus.HistogramOpts{Name: "latchkey_receipt_seconds",
		Buckets: seconds, Help: "From reading the request to the actuator's receipt."})
	m.registry.MustRegister(m.decisions, m.outcomes, m.requests, m.undecided, m.durable, m.receipt)
}

func (m *Metrics) registerDevices(src Sources) {
	gauge(m, "latchkey_sessions", "Live DTLS associations.", nil, src.Listener.Sessions)
	gauge(m, "latchkey_sessions_max", "Live DTLS associations that there may be.", nil,
		func() int { return src.MaxSessions })
	gauge(m, "latchkey_devices_online", "Devices registered and alive.", nil, src.Online)
	gauge(m, "latchkey_alarms", "Alarms that nobody has acknowledged.", nil, src.Alarms)
	for _, h := range door.Headlines {
		gauge(m, "latchkey_doors", "Doors, by what they are now.", prometheus.Labels{"state": string(h)},
			func() int { return src.Doors(h) })
	}
}

func (m *Metrics) registerStore(src Sources) {
	gauge(m, "latchkey_events", "Sequence number of the last event.", nil,
		func() uint64 { seq, _ := src.Store.Head(); return seq })
	gauge(m, "latchkey_store_verified_timestamp_seconds",
		"When all files and events were last verified; 0 before the first time since the start.", nil,
		func() int64 {
			at, _, _ := src.Store.Verified()
			if at.IsZero() {
				return 0
			}
			return at.Unix()
		})
	gauge(m, "latchkey_store_damaged", "1 when the last verification found damage.", nil,
		func() int { _, _, problem := src.Store.Verified(); return oneIf(problem != nil) })
	gauge(m, "latchkey_clock_trusted", "1 when schedules can be relied on.", nil,
		func() int { ok, _ := src.ClockTrusted(time.Now()); return oneIf(ok) })
	for _, reason := range src.Reasons {
		gauge(m, "latchkey_not_ready",
			"1 when a card that may enter would not be let in now, by what stands in the way.",
			prometheus.Labels{"reason": reason}, func() int { return oneIf(src.NotReady(reason)) })
	}
}

func (m *Metrics) registerTransport(src Sources) {
	for _, c := range []struct {
		name, help string
		of         func(transport.Stats) uint64
	}{
		{"hellos", "ClientHellos, of any kind.", func(s transport.Stats) uint64 { return s.Hellos }},
		{"cookies", "HelloVerifyRequests sent: the answer to a first ClientHello.",
			func(s transport.Stats) uint64 { return s.Cookies }},
		{"handshakes", "Handshakes begun: the cookie came back.",
			func(s transport.Stats) uint64 { return s.Handshakes }},
		{"handshakes_completed", "Handshakes that completed.",
			func(s transport.Stats) uint64 { return s.Finished }},
		{"sessions_replaced", "Sessions ended by a newer handshake from their own address.",
			func(s transport.Stats) uint64 { return s.Replaced }},
		{"sessions_moved", "New addresses of sessions.", func(s transport.Stats) uint64 { return s.Moved }},
		{"records_ignored", "Records for nobody, or that nobody may send in the clear.",
			func(s transport.Stats) uint64 { return s.Ignored }},
		{"records_overflow", "Records dropped because their session does not keep up.",
			func(s transport.Stats) uint64 { return s.Overflow }},
		{"records_undecryptable", "Records that failed to decrypt.",
			func(s transport.Stats) uint64 { return s.Undecryptable }},
		{"records_replayed", "Records that came twice, or too late.",
			func(s transport.Stats) uint64 { return s.Replayed }},
		{"hints", "HelloRequests sent to nodes whose sessions are not known here, as after a restart.",
			func(s transport.Stats) uint64 { return s.Hints }},
		{"datagrams_unsent", "Datagrams that could not be sent.",
			func(s transport.Stats) uint64 { return s.Lost }},
	} {
		m.counter("latchkey_"+c.name+"_total", c.help, nil,
			func() uint64 { return c.of(src.Listener.Stats()) })
	}
	gauge(m, "latchkey_handshakes_open", "Handshakes under way.", nil,
		func() int { return src.Listener.Stats().HalfOpen })
	gauge(m, "latchkey_receive_buffer_bytes", "What the kernel holds for us at most; 0 if it does not say.",
		nil,
		func() int { return src.Listener.Stats().ReceiveBuffer })
	gauge(m, "latchkey_stateless_cookie", "1 when a first ClientHello leaves nothing behind.", nil,
		func() int { return oneIf(src.Listener.Stats().Stateless) })
	for _, cause := range src.Causes { // shown from the start, so that the first failure is an increase
		m.counter("latchkey_handshake_failures_total", "Handshakes that did not complete, by cause.",
			prometheus.Labels{"cause": cause}, func() uint64 { return src.Failures(cause) })
	}
}

func gauge[N int | int64 | uint64](m *Metrics, name, help string, labels prometheus.Labels, read func() N) {
	opts := prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}
	m.registry.MustRegister(prometheus.NewGaugeFunc(opts, func() float64 { return float64(read()) }))
}

func (m *Metrics) counter(name, help string, labels prometheus.Labels, read func() uint64) {
	opts := prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels}
	m.registry.MustRegister(prometheus.NewCounterFunc(opts, func() float64 { return float64(read()) }))
}

func oneIf(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// CountRequest counts a node's request by the code of its response.
func (m *Metrics) CountRequest(code string) { m.requests.WithLabelValues(code).Inc() }

// CountUndecided counts an attempt that could not be decided.
func (m *Metrics) CountUndecided() { m.undecided.Inc() }

// Observe counts an attempt that was decided. It ignores repetitions.
func (m *Metrics) Observe(tl Timeline) {
	if tl.Repeated {
		return
	}
	m.decisions.WithLabelValues(string(tl.Decision.Reason)).Inc()
	m.durable.Observe(tl.Durable.Sub(tl.Received).Seconds())
	if tl.Outcome != "" {
		m.outcomes.WithLabelValues(string(tl.Outcome)).Inc()
	}
	if tl.Outcome == audit.OutcomeDone {
		m.receipt.Observe(tl.Acknowledged.Sub(tl.Received).Seconds())
	}
}

// Handler serves the figures in the text format of Prometheus.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}
