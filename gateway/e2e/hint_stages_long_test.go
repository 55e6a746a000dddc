//go:build long

package e2e

import "testing"

// An attacker who forges records with chosen numbers ends most handshakes of other stacks, since
// these records are not authenticated, and a higher number makes the gateway's records look old.
// Our nodes keep their own count.
func TestLongStockHandshakesUnderForgedNumbers(t *testing.T) {
	underForgedHints(t, ahead(), func(client string, _ int) bool { return client == "latchkey" })
}
