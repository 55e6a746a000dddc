package api

import (
	"net/http"

	"latchkey/gateway/observe"
)

// Measurements of how long attempts took, as the API answers them.
type (
	Latency      = observe.Latency
	Distribution = observe.Distribution
	Point        = observe.Point
)

// Operations that measure.
var (
	GetLatency = declare[Nothing, Latency](toLook, http.MethodGet, "/v1/latency", "get-latency",
		"Measure how long attempts took since the gateway started")
	GetMetrics = declare[Nothing, string](toLook, http.MethodGet, "/metrics", "get-metrics",
		"Get the metrics for Prometheus")
)
