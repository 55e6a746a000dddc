//go:build firmware

package e2e

import (
	"slices"
	"testing"
	"time"

	"latchkey/coapres/device"
)

// An attacker disconnects a lock from its gateway, forces the door and shuts it again. The lock
// reports the opening once it is connected again.
func TestFirmwareReportsADoorForcedWithoutASession(t *testing.T) {
	t.Parallel()
	onEachMachine(t, func(t *testing.T, m machine) {
		way, r := newRelayWay(t)
		d := newFirmDoor(t, m, nil, way)
		mark := d.lock.Mark()
		r().Impair(device.Impairment{Loss: 1})
		d.lock.Tell("!contact 1")
		d.lock.awaitLine(mark, 20*time.Second, "log session lost")
		d.lock.Tell("!contact 0")
		r().Impair(device.Impairment{})
		d.lock.awaitLine(mark, 60*time.Second, "log registered")
		eventually(t, "the forced door is an event", 5*time.Second, func() bool {
			return slices.Contains(d.listAlarmDetails(), "door opened without being unlocked")
		})
	})
}
