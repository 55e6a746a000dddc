//go:build firmware

package e2e

import (
	"slices"
	"testing"
	"time"

	"latchkey/coapres/device"
)

// An attacker cuts a lock off from its gateway, forces the door and shuts it again. The lock
// reports it when it is back.
func TestFirmwareTellsOfADoorForcedWithoutASession(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, m machine) {
		way, r := through(t)
		d := newFirmDoor(t, m, nil, way)
		mark := d.lock.Mark()
		r().Impair(device.Impairment{Loss: 1})
		d.lock.Tell("!contact 1")
		d.lock.await(mark, 20*time.Second, "log session lost")
		d.lock.Tell("!contact 0")
		r().Impair(device.Impairment{})
		d.lock.await(mark, 60*time.Second, "log registered")
		eventually(t, "the forced door is an event", 5*time.Second, func() bool {
			return slices.Contains(d.alarms(), "door opened without being unlocked")
		})
	})
}
