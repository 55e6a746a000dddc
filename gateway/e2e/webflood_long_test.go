//go:build long

package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// many are attackers' addresses, each with a share of its own of the connections.
var many = strings.Join([]string{"127.0.1.1", "127.0.1.2", "127.0.1.3", "127.0.1.4", "127.0.1.5", "127.0.1.6",
	"127.0.1.7", "127.0.1.8"}, ",")

// The same floods for longer, and others: unfinished handshakes, HTTP/2 frames, answers that nobody
// reads.
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

// Floods from eight addresses at once take all places for new connections, but doors open, and open
// connections stay usable.
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
