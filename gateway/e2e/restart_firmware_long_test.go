//go:build firmware && long

package e2e

import (
	"testing"
	"time"
)

// The same as TestLongBackAfterAKill, with the firmware.
func TestLongFirmwareBackAfterAKill(t *testing.T) {
	d := newKillable(t, 99, firmwareNodes)
	d.checkKills(20, 1500*time.Millisecond, 4*time.Second)
}
