//go:build long

package e2e

import "testing"

// Whoever forges records with numbers of his choice ends most handshakes of other people's stacks:
// none of it is authenticated, and a later number makes what the gateway sends an old one. Our
// nodes count by themselves.
func TestLongStockHandshakesUnderForgedNumbers(t *testing.T) {
	underForgedHints(t, ahead(), func(client string, _ int) bool { return client == "latchkey" })
}
