//go:build firmware

package e2e

import (
	"testing"
	"time"

	"latchkey/coapres/device"
	"latchkey/coapres/wire"
	"latchkey/gateway/store"
	"latchkey/keys"
)

// The same as TestALockNoticesARollback, with a lock that runs the firmware.
func TestFirmwareLockNoticesARollback(t *testing.T) {
	t.Parallel()
	onEachMachine(t, func(t *testing.T, m machine) {
		d := newDoor(t, store.Options{})
		lock := d.runFirmware(m, "lock", "front-lock", d.lockKey, d.addr, "")
		lock.waitUntilReady()
		d.reader = d.runDevice(device.Config{Name: "front-reader", Kind: keys.KindReader}, d.readerKey, d.addr)
		d.awaitLockState()
		tap := func() {
			t.Helper()
			eventually(t, "the door opens for the next tap", 20*time.Second, func() bool {
				v, err := d.scan(annsCard)
				return err == nil && v.Verdict == wire.Granted
			})
			eventually(t, "the lock is off again", 3*time.Second, func() bool { return !lock.State().On })
		}
		tap()
		d.checkLockNotices(tap)
	})
}
