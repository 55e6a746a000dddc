package api

import (
	"net/http"

	"latchkey/gateway/observe"
)

// What is known of how long attempts took, as the API answers it.
type (
	Latency      = observe.Latency
	Distribution = observe.Distribution
	Point        = observe.Point
)

// Operations that measure.
var (
	GetLatency = declare[Nothing, Latency](toLook, http.MethodGet, "/v1/latency", "get-latency",
		"How long attempts took since the gateway started")
	GetMetrics = declare[Nothing, string](toLook, http.MethodGet, "/metrics", "get-metrics",
		"Figures for Prometheus")
)
