//go:build large

package transport

import "testing"

// Message IDs have 16 bits, so they are used again long before EXCHANGE_LIFETIME has passed.
func TestLargeManyRequestsOnOneSession(t *testing.T) { checkManyRequests(t, 100_000, 1<<16) }
