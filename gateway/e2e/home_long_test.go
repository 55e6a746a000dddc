//go:build long

package e2e

import (
	"testing"
	"time"

	"latchkey/gateway/admin/api"
)

func TestCommandHeldBackForLong(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	front := h.addDoor("front-door", h.addr)
	front.grant(api.NewGrant{NoCode: true})
	for range 3 {
		front.checkHeldBack(8 * time.Second)
		front.opens(func() { freshEcho(front); front.ask() })
	}
}
