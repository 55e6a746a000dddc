package admin

import (
	"context"
	"net/http"

	"latchkey/gateway/observe"
)

// What is known of how long attempts took, as the API answers it.
type (
	Latency      = observe.Latency
	Distribution = observe.Distribution
	Point        = observe.Point
)

func (a *api) latencyRoutes() {
	handle(a, toLook, http.MethodGet, "/v1/latency", "get-latency",
		"How long attempts took since the gateway started",
		func(context.Context, *struct{}) (*body[Latency], error) {
			if a.Live == nil {
				return nil, ErrNoGateway
			}
			return answer(a.Live.Latency(), nil)
		})
}
