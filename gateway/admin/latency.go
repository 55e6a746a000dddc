package admin

import (
	"context"
	"net/http"
	"time"
)

// Latency is how long attempts took, each counted once however often it was repeated.
type Latency struct {
	Since   time.Time    `json:"since" doc:"the gateway's start"`
	Durable Distribution `json:"durable" doc:"from reading the request to the decision on disk"`
	Receipt Distribution `json:"receipt" doc:"from reading the request to the actuator's receipt, where it was done"`
}

// Distribution is how long many of one kind took. Times are in milliseconds; two digits of them are exact.
type Distribution struct {
	Count int64   `json:"count"`
	P50   float64 `json:"p50" doc:"ms; half took no longer"`
	P90   float64 `json:"p90" doc:"ms"`
	P99   float64 `json:"p99" doc:"ms"`
	P999  float64 `json:"p999" doc:"ms; of a thousand, 999 took no longer"`
	Max   float64 `json:"max" doc:"ms"`
	Curve []Point `json:"curve" doc:"of all of them, for a plot; at most some hundred points"`
}

// Point of a curve: so many percent took no longer than that.
type Point struct {
	Percentile float64 `json:"percentile"`
	MS         float64 `json:"ms"`
}

func (a *api) latencyRoutes() {
	handle(a, toLook, http.MethodGet, "/v1/latency", "get-latency", "How long attempts took since the gateway started",
		func(context.Context, *struct{}) (*body[Latency], error) {
			if a.Live == nil {
				return nil, ErrNoGateway
			}
			return answer(a.Live.Latency(), nil)
		})
}
