//go:build large

package transport

import "testing"

// Message IDs have 16 bits, so they come round long before EXCHANGE_LIFETIME has passed.
func TestLargeManyRequestsOnOneSession(t *testing.T) { manyRequests(t, 100_000, 1<<16) }
