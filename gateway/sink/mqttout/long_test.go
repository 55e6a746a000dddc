//go:build long

package mqttout

import "testing"

func TestNothingIsLostThroughFaultsLong(t *testing.T) { feed(t, 100_000) }
