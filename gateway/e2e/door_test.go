package e2e

import (
	"testing"
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/store"
)

func TestCardOpensDoor(t *testing.T) {
	d := newDoor(t, store.Options{})
	d.connectNodes(d.addr, d.addr)
	v, err := d.scan(annsCard)
	if err != nil || v != (wire.Verdict{Verdict: wire.Granted, Last: 1}) {
		t.Fatalf("got %+v, %v, want granted", v, err)
	}
	if st := d.lock.State(); !st.On || st.Left == 0 {
		t.Fatalf("got lock %+v, want unlocked", st)
	}
	eventually(t, "the pulse ends by itself", 3*time.Second, func() bool { return !d.lock.State().On })
	tl := d.listTimelines()[0]
	steps := []time.Time{tl.Received, tl.Fresh, tl.Decided, tl.Durable, tl.Commanded, tl.Acknowledged}
	for i := range steps[1:] {
		if steps[i+1].Before(steps[i]) || steps[i+1].IsZero() {
			t.Errorf("step %d of %+v is out of order", i+1, tl)
		}
	}
	if v, err := d.scan([]byte{1, 2, 3, 4}); err != nil || v.Verdict != wire.Denied || v.Last != 2 {
		t.Errorf("unknown card: got %+v, %v, want denied", v, err)
	}
	if got := d.listTimelines()[1].Decision.Reason; got != access.ReasonUnknownCard {
		t.Errorf("got %s, want unknown-card", got)
	}
}
