//go:build long

package e2e

import "testing"

func TestLongFullDisk(t *testing.T) {
	for _, kind := range []string{"tmpfs", "ext4"} {
		t.Run(kind, func(t *testing.T) { fullDisk(t, kind, 5) })
	}
}
