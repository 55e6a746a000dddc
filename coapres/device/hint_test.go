package device_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/coapres/device"
	"latchkey/keys"
)

var hint = []byte{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

// A gateway restarts while a registration is under way, and answers the retransmission with a hint.
// The node then does not wait until the registration times out.
func TestHintWhileARegistrationIsUnderWay(t *testing.T) {
	p := newPost(t)
	r, err := device.NewRelay(p.addr, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var hellos atomic.Int32
	gone := func(dir device.Direction, b []byte) bool {
		return dir == device.Up && (b[0] == 23 || b[0] == 25) && hellos.Load() <= 2
	}
	r.Lose(gone)
	r.Tap(func(dir device.Direction, b []byte) {
		if dir == device.Up && b[0] == 22 && len(b) > 13 && b[13] == 1 {
			hellos.Add(1)
		}
		if gone(dir, b) {
			r.Inject(device.Down, hint)
		}
	})
	d := device.New(device.Config{Kind: keys.KindReader, Gateway: r.Addr(), Identity: p.identity,
		Secret: p.secret})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done := make(chan struct{})
	go func() { defer close(done); _ = d.Run(ctx) }() // returns nil when ctx ends
	began := time.Now()
	if err := d.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	t.Logf("registered after %v, %d hellos", time.Since(began).Round(time.Millisecond), hellos.Load())
	if got := r.Flows(); got != 1 {
		t.Errorf("got %d ports, want the new session from the same port", got)
	}
	cancel()
	<-done
}
