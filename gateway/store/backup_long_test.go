//go:build long

package store

import (
	"testing"
	"time"
)

// TestLongBackup measures a backup of 10,000 devices, 100,000 grants and a million events.
func TestLongBackup(t *testing.T) {
	measureBackup(t, 10_000, 100_000, 1_000_000, 20*time.Second)
}
