//go:build firmware

package e2e

import (
	"testing"
	"time"

	"latchkey/keys"
)

// plain is this machine without the sanitizers: a hundred of those would not fit.
var plain = machine{name: "plain", image: "../../bin/firmware/%s"}

// firmwareNodes runs nodes in C.
func firmwareNodes(d *door) runner {
	return func(name string, kind keys.Kind, k keys.Key) node {
		return d.firmware(plain, string(kind), name, k, d.addr, "")
	}
}

// The same as TestBackAfterAKill, with the firmware.
func TestFirmwareBackAfterAKill(t *testing.T) {
	t.Parallel()
	d := newKillable(t, 4, firmwareNodes)
	d.within(3, 10*1100*time.Millisecond, 40*time.Second)
}
