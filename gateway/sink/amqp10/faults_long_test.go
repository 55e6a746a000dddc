//go:build long

package amqp10

import "testing"

func TestFaultsLong(t *testing.T) { testFaults(t, 100_000) }
