//go:build long

package e2e

import (
	"testing"
	"time"
)

// 101 nodes, and a gateway that is killed twenty times.
func TestLongBackAfterAKill(t *testing.T) {
	d := newKillable(t, 99, simulatedNodes)
	d.checkKills(20, 1500*time.Millisecond, 4*time.Second)
}
