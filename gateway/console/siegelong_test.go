//go:build long

package console_test

import (
	"testing"
	"time"
)

// TestLongSiege attacks for two days, through the pages and with real checks of passwords.
func TestLongSiege(t *testing.T) {
	for name, attack := range attacks {
		t.Run(name, func(t *testing.T) { runSiege(t, attack, 48*time.Hour) })
	}
}
