//go:build firmware

package e2e

import (
	"testing"
	"time"

	"latchkey/keys"
)

// plainHost is this host without the sanitizers: a hundred nodes with sanitizers would need too
// much memory.
var plainHost = machine{name: "plain", image: "../../bin/firmware/%s"}

// firmwareNodes returns a runner of nodes with the firmware.
func firmwareNodes(d *door) runner {
	return func(name string, kind keys.Kind, k keys.Key) node {
		return d.runFirmware(plainHost, string(kind), name, k, d.addr, "")
	}
}

// The same as TestBackAfterAKill, with the firmware.
func TestFirmwareBackAfterAKill(t *testing.T) {
	t.Parallel()
	d := newKillable(t, 4, firmwareNodes)
	d.checkKills(3, 10*1100*time.Millisecond, 40*time.Second)
}
