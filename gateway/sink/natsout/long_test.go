//go:build long

package natsout

import "testing"

func TestNothingIsLostThroughFaultsLong(t *testing.T) { feed(t, 100_000) }
