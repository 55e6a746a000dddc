//go:build long

package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// many are attackers whose addresses have shares of their own.
var many = strings.Join([]string{"127.0.1.1", "127.0.1.2", "127.0.1.3", "127.0.1.4", "127.0.1.5", "127.0.1.6",
	"127.0.1.7", "127.0.1.8"}, ",")

// The same, longer, and whatever else is near: handshakes, frames of HTTP/2, answers that nobody
// reads, passwords.
func TestLongWebFloods(t *testing.T) {
	floodWebsite(t, slices.Concat(shortFloods, []webFlood{
		{"silent", 256, 1, attacker, false},
		{"hellos", 256, 1, attacker, false},
		{"continuations", 256, 1, attacker, false},
		{"chunks", 256, 1, attacker, false},
		{"unread", 250, 240, attacker, false},
		{"pipeline", 256, 1, attacker, false},
	}), 15*time.Second)
}

// From eight addresses at once there is no room for new connections, but doors open, and who has a
// connection keeps it.
func TestLongWebFloodsFromManyAddresses(t *testing.T) {
	floodWebsite(t, []webFlood{
		{"posts", 250, 240, many, false},
		{"idle", 512, 1, many, false},
		{"large", 256, 1, many, false},
		{"resets", 256, 1, many, false},
		{"unread", 250, 240, many, false},
		{"pipeline", 256, 1, many, false},
	}, 15*time.Second)
}
