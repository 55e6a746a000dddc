//go:build long

package e2e

import "testing"

// Forged plaintext records with high numbers make most handshakes of other stacks fail: these
// records are not authenticated, and after them the gateway's records look old. Our nodes give
// plaintext records numbers of their own, so their handshakes succeed.
func TestLongStockHandshakesUnderForgedNumbers(t *testing.T) {
	checkUnderForgedHints(t, ahead(), func(client string, _ int) bool { return client == "latchkey" })
}
