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

// TestForgedHintsAtFullRate: an attacker who forges 2,000 hints a second causes one ping in 5 s and
// nothing else. No session ends, no handshake begins, and a scan is granted meanwhile.
func TestForgedHintsAtFullRate(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	var relays [2]*device.Relay
	var records, handshakes, answers [2]atomic.Int64 // what nodes send, and the gateway's answers
	for i := range relays {
		r, err := device.NewRelay(d.addr, uint64(i)+1)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = r.Close() })
		relays[i] = r
	}
	asked := [2]*lineLog{new(lineLog), new(lineLog)} // what the nodes log
	d.lock = d.run(device.Config{Name: "front-lock", Kind: keys.KindLock, Log: asked[1].logger()}, d.lockKey,
		relays[1].Addr())
	d.reader = d.run(device.Config{Name: "front-reader", Kind: keys.KindReader, Log: asked[0].logger()},
		d.readerKey, relays[0].Addr())
	d.settled()
	d.granted("before", time.Now())
	eventually(t, "the lock is still", time.Minute, func() bool { return !d.lock.State().On })
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
	// At once, and again when 5 s are over, each with its repeats (MAX_RETRANSMIT) where this
	// machine is busy; what is not a ping is a registration that was due, or the last words about
	// the tap.
	most := (int64(took/(5*time.Second))+1)*(1+4) + 3
	t.Logf("%d hints in %v: the reader asked %d times and sent %d records, the lock %d and %d; the gateway sent them %d and %d", sent, took.Round(time.Millisecond),
		asked[0].count(followed), records[0].Load(), asked[1].count(followed), records[1].Load(),
		answers[0].Load(), answers[1].Load())
	for i, who := range []string{"reader", "lock"} {
		if n := asked[i].count(followed); n < 1 || n > int(took/(5*time.Second))+1 {
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
		t.Errorf("got %+v, want it granted", v)
	}
	for i, who := range []string{"reader", "lock"} {
		if n := handshakes[i].Load(); n > 0 {
			t.Errorf("%s: sent %d handshake records, want its session to go on", who, n)
		}
	}
}

// followed is what nodes log when they ask the gateway because of a hint.
const followed = "hint, asking the gateway"

// lineLog keeps what is logged.
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

func (l *lineLog) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), text)
}
