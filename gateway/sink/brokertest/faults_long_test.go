//go:build long

package brokertest_test

import "testing"

func TestFaultsLong(t *testing.T) { testFaults(t, 100_000) }
