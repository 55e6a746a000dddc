package doctor

import (
	"strconv"
	"testing"
	"time"

	"latchkey/coapres"
	"latchkey/gateway/access"
)

// The log remembers only the devices that were refused last, however many devices there are.
func TestRefusalsAreBounded(t *testing.T) {
	var l RefusalLog
	began := time.Now()
	for i := range 2 * keepRefusals {
		l.Note(access.ID(strconv.Itoa(i)), coapres.Refusal{At: began.Add(time.Duration(i))})
	}
	known := func(i int) bool { return l.Last(access.ID(strconv.Itoa(i))) != nil }
	if l.last.Len() != keepRefusals || known(0) || !known(keepRefusals) || !known(2*keepRefusals-1) {
		t.Errorf("got %d devices, want the newest %d", l.last.Len(), keepRefusals)
	}
}
