package device_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"latchkey/coapres/device"
)

// When a hold ends, datagrams that are sent at that time come after the held ones.
func TestNothingOvertakesHeldDatagrams(t *testing.T) {
	node, r, gateway := newRelayBetween(t, 1)
	_, over := r.Hold(device.Up, 30*time.Millisecond)
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 0; ; n++ {
			if _, err := fmt.Fprintf(node, "%06d", n); err != nil {
				t.Error(err)
				return
			}
			select {
			case <-over:
				return
			case <-time.After(20 * time.Microsecond):
			}
		}
	})
	last := ""
	for _, got := range receiveAll(t, gateway, 200*time.Millisecond) {
		if got <= last {
			t.Fatalf("%s came after %s", got, last)
		}
		last = got
	}
	wg.Wait()
}

func TestRelayReorders(t *testing.T) {
	node, r, gateway := newRelayBetween(t, 3)
	r.Impair(device.Impairment{Reorder: 0.5})
	for n := range 40 {
		if _, err := fmt.Fprintf(node, "%02d", n); err != nil {
			t.Fatal(err)
		}
	}
	got, ordered := receiveAll(t, gateway, 200*time.Millisecond), true
	for i := 1; i < len(got); i++ {
		ordered = ordered && got[i] > got[i-1]
	}
	if len(got) != 40 || ordered {
		t.Errorf("got %d datagrams, in order %v, want all 40, reordered", len(got), ordered)
	}
}

func TestClosedRelayLeavesNothing(t *testing.T) {
	before := goleak.IgnoreCurrent()
	node, r, gateway := newRelayBetween(t, 1)
	r.Impair(device.Impairment{Reorder: 1})
	if _, err := node.Write([]byte("late")); err != nil {
		t.Fatal(err)
	}
	started, _ := r.Hold(device.Up, 50*time.Millisecond)
	if _, err := node.Write([]byte("held")); err != nil {
		t.Fatal(err)
	}
	<-started
	for range 2 {
		if err := r.Close(); err != nil {
			t.Errorf("got %v", err)
		}
	}
	for _, got := range receiveAll(t, gateway, 150*time.Millisecond) {
		if got == "held" {
			t.Error("a held datagram was delivered after Close")
		}
	}
	goleak.VerifyNone(t, before)
}
