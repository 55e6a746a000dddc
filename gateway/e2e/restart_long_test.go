//go:build long

package e2e

import (
	"testing"
	"time"
)

// A hundred nodes and one, the gateway killed twenty times.
func TestLongBackAfterAKill(t *testing.T) {
	d := newKillable(t, 99, simulated)
	d.within(20, 1500*time.Millisecond, 4*time.Second)
}
