//go:build long

package sink

import "testing"

func TestNothingIsLostOfMany(t *testing.T) { deliver(t, 100_000, 20) }
