//go:build long

package store

import "testing"

// TestLongKilledWriter kills a writer 600 times, a third of them while the disk is full.
func TestLongKilledWriter(t *testing.T) {
	for _, kind := range []string{"tmpfs", "ext4"} {
		t.Run(kind, func(t *testing.T) { killWriterOften(t, kind, false, 200) })
		t.Run(kind+", full", func(t *testing.T) { killWriterOften(t, kind, true, 100) })
	}
}
