//go:build long

package store

import "testing"

// TestLongKilledWriter kills a writer 600 times, a third of them while the disk is full.
func TestLongKilledWriter(t *testing.T) {
	for _, kind := range []string{"tmpfs", "ext4"} {
		t.Run(kind, func(t *testing.T) { killWriterOften(t, newDownfall(t, kind), 200) })
		t.Run(kind+", full", func(t *testing.T) {
			e := newDownfall(t, kind)
			e.fill = true
			killWriterOften(t, e, 100)
		})
	}
}

// TestLongPowerCut cuts the power of the disk 100 times under a process that writes, and 100 times
// under one that removes old events.
func TestLongPowerCut(t *testing.T) { cutPowerOften(t, 100) }
