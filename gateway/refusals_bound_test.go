package gateway

import (
	"strconv"
	"testing"
	"time"

	"latchkey/coapres"
	"latchkey/gateway/access"
)

// However many devices there are, so many are remembered: those that were refused last.
func TestRefusalsAreBounded(t *testing.T) {
	var r refusals
	began := time.Now()
	for i := range 2 * keepRefusals {
		r.note(access.ID(strconv.Itoa(i)), coapres.Refusal{At: began.Add(time.Duration(i))})
	}
	if len(r.last) != keepRefusals || r.of("0") != nil || r.of(access.ID(strconv.Itoa(keepRefusals))) == nil || r.of(access.ID(strconv.Itoa(2*keepRefusals-1))) == nil {
		t.Errorf("got %d, want the newest %d", len(r.last), keepRefusals)
	}
}
