package e2e

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/coapres/device"
	"latchkey/coapres/wire"
	"latchkey/gateway/store"
	"latchkey/keys"
)

// An attacker forges 2,000 hints a second. Each node sends one ping in 5 s, and nothing else
// happens: no session ends, no handshake begins, and a scan is granted meanwhile.
func TestForgedHintsAtFullRate(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	var relays [2]*device.Relay
	var records, handshakes, answers [2]atomic.Int64 // sent by each node, and by the gateway to it
	for i := range relays {
		r, err := device.NewRelay(d.addr, uint64(i)+1)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = r.Close() })
		relays[i] = r
	}
	asked := [2]*lineLog{new(lineLog), new(lineLog)} // the nodes' logs
	d.lock = d.runDevice(device.Config{Name: "front-lock", Kind: keys.KindLock, Log: asked[1].logger()},
		d.lockKey, relays[1].Addr())
	d.reader = d.runDevice(device.Config{Name: "front-reader", Kind: keys.KindReader, Log: asked[0].logger()},
		d.readerKey, relays[0].Addr())
	d.awaitLockState()
	d.tapUntilGranted("before", time.Now())
	eventually(t, "the pulse is over", time.Minute, func() bool { return !d.lock.State().On })
	for i, r := range relays {
		r.Tap(func(dir device.Direction, b []byte) {
			switch {
			case dir != device.Up:
				answers[i].Add(1)
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
	// One ping at once and one every 5 s, each with MAX_RETRANSMIT retransmissions if this machine
	// is slow. Three more records may be a registration that was due, or the last messages about
	// the tap.
	most := (int64(took/(5*time.Second))+1)*(1+4) + 3
	t.Logf("%d hints in %v: the reader asked %d times and sent %d records, the lock %d and %d; the gateway sent them %d and %d",
		sent, took.Round(time.Millisecond),
		asked[0].countText(followedLine), records[0].Load(), asked[1].countText(followedLine),
		records[1].Load(), answers[0].Load(), answers[1].Load())
	for i, who := range []string{"reader", "lock"} {
		if n := asked[i].countText(followedLine); n < 1 || n > int(took/(5*time.Second))+1 {
			t.Errorf("%s: asked %d times in %v, want once in 5 s", who, n, took)
		}
		if n := answers[i].Load(); n < 1 || n > most {
			t.Errorf("%s: the gateway has sent it %d records, want an answer to its ping, and at most %d",
				who, n, most)
		}
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
		t.Errorf("a scan while hints come: got %+v, want granted", v)
	}
	for i, who := range []string{"reader", "lock"} {
		if n := handshakes[i].Load(); n > 0 {
			t.Errorf("%s: sent %d handshake records, want none: its session continues", who, n)
		}
	}
}

// followedLine is what nodes log when they ping the gateway because of a hint.
const followedLine = "hint, asking the gateway"

// lineLog stores log lines.
type lineLog struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

func (l *lineLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lineLog) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func (l *lineLog) countText(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), text)
}
