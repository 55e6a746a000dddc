package gateway_test

import (
	"sync/atomic"
	"testing"
	"time"

	"latchkey/coapres/device"
	"latchkey/coapres/wire"
	"latchkey/gateway/store"
)

// TestForgedHintsAtFullRate: whoever forges 2,000 hints a second causes a ping in 5 s, and no more: no session ends, no handshake begins, and a scan is granted
// meanwhile.
func TestForgedHintsAtFullRate(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	var relays [2]*device.Relay
	var records, handshakes [2]atomic.Int64 // what nodes send
	for i := range relays {
		r, err := device.NewRelay(d.addr, uint64(i)+1)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = r.Close() })
		relays[i] = r
	}
	d.connect(relays[0].Addr(), relays[1].Addr())
	d.granted("before", time.Now())
	eventually(t, "the lock is still", time.Minute, func() bool { return !d.lock.State().On })
	for i, r := range relays {
		r.Tap(func(dir device.Direction, b []byte) {
			switch {
			case dir != device.Up:
			case b[0] == 22:
				handshakes[i].Add(1)
			default:
				records[i].Add(1)
			}
		})
	}
	sent, began := 0, time.Now()
	flood := func(until func() bool) {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for !until() {
			<-tick.C
			for range 2 {
				for _, r := range relays {
					r.Inject(device.Down, hint)
				}
				sent++
			}
		}
	}
	flood(func() bool { return time.Since(began) >= 3*time.Second })
	took := time.Since(began)
	// At once, and again when 5 s are over, each with its repeats (MAX_RETRANSMIT) where this machine is busy; what is not a ping is a registration that was
	// due, or the last words about the tap.
	most := (int64(took/(5*time.Second))+1)*(1+4) + 3
	t.Logf("%d hints in %v: the reader sent %d records, the lock %d", sent, took.Round(time.Millisecond), records[0].Load(), records[1].Load())
	for i, who := range []string{"reader", "lock"} {
		if n := records[i].Load(); n < 1 || n > most {
			t.Errorf("%s: sent %d records, want a ping, and at most %d", who, n, most)
		}
	}
	scanned := make(chan wire.Verdict, 1)
	go func() {
		v, err := d.scan(annsCard)
		if err != nil {
			t.Errorf("a scan while hints come: %v", err)
		}
		scanned <- v
	}()
	var v wire.Verdict
	flood(func() bool {
		select {
		case v = <-scanned:
			return true
		default:
			return false
		}
	})
	if v.Verdict != wire.Granted {
		t.Errorf("got %+v, want it granted", v)
	}
	for i, who := range []string{"reader", "lock"} {
		if n := handshakes[i].Load(); n > 0 {
			t.Errorf("%s: sent %d handshake records, want its session to go on", who, n)
		}
	}
}
