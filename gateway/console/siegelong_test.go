//go:build long

package console_test

import (
	"testing"
	"time"
)

// Two days of an attack, over the pages and with real checks of passwords.
func TestLongSiege(t *testing.T) {
	for name, attack := range attacks {
		t.Run(name, func(t *testing.T) { siege(t, attack, 48*time.Hour) })
	}
}
