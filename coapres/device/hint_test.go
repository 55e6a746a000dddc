package device_test

import (
	"context"
	"slices"
	"sync"
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

// The gateway has lost the session, and the handshake after its hint too. The node tries again soon,
// and not only when its next registration has failed.
func TestAnotherHandshakeAfterALostOne(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	r, err := device.NewRelay(p.addr, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	d, _ := p.runNode(device.Config{Kind: keys.KindReader}, r.Addr())
	var first []byte // the random of the handshake that is lost
	var asked, another bool
	var mu sync.Mutex
	r.Lose(func(dir device.Direction, b []byte) bool {
		mu.Lock()
		defer mu.Unlock()
		hello := b[0] == 22 && len(b) > 59 && b[13] == 1
		switch {
		case another:
			return false
		case b[0] == 23 || b[0] == 25:
			asked = asked || dir == device.Up && len(b) > 60 // longer than a ping
			return true
		case first == nil && hello:
			first = slices.Clone(b[27:59])
		case hello && !slices.Equal(first, b[27:59]):
			another = true
		}
		return !another
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	began := time.Now()
	r.Inject(device.Down, hint)
	for d.Sessions() < 2 {
		if ctx.Err() != nil {
			t.Fatal("no other session")
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Logf("another session after %v", time.Since(began).Round(time.Millisecond))
	if mu.Lock(); asked {
		t.Error("only after a registration without an answer")
	}
	mu.Unlock()
}
