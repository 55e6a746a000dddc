//go:build firmware

package e2e

import (
	"sync/atomic"
	"testing"
	"time"

	"latchkey/coapres/device"
	"latchkey/coapres/wire"
	"latchkey/gateway/store"
)

// Forged hints, with any record number and at any stage, do not make the firmware's handshake fail.
func TestFirmwareHandshakesUnderForgedHints(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	for s, stage := range stages {
		t.Run(stage.name, func(t *testing.T) {
			r := newRelay(t, d.addr)
			sent := forgeHints(r, s, ahead())
			f := d.runFirmware(plainHost, "lock", "front-lock", d.lockKey, r.Addr(), "")
			f.t = t
			f.waitUntilReady()
			if !sent.Load() {
				t.Error("no hint was sent")
			}
			f.Close()
		})
	}
	if got := d.readMetric("latchkey_handshakes_completed_total"); got != len(stages) {
		t.Errorf("got %d handshakes, want %d, each at the first try", got, len(stages))
	}
}

// An attacker forges 2,000 hints a second. The firmware pings the gateway once in 5 s, keeps its
// session and opens its door meanwhile.
func TestFirmwareForgedHintsAtFullRate(t *testing.T) {
	t.Parallel()
	way, r := newRelayWay(t)
	d := newFirmDoor(t, plainHost, directWay, way)
	var records, handshakes, answers atomic.Int64
	r().Tap(func(dir device.Direction, b []byte) {
		switch {
		case dir != device.Up:
			answers.Add(1)
		case b[0] == 22:
			handshakes.Add(1)
		default:
			records.Add(1)
		}
	})
	flood := func(d time.Duration, over <-chan struct{}) (sent int) {
		tick, end := time.NewTicker(time.Millisecond), time.After(d)
		defer tick.Stop()
		for {
			select {
			case <-over:
				return sent
			case <-end:
				return sent
			case <-tick.C:
				sendHints(r(), 2)
				sent += 2
			}
		}
	}
	began := time.Now()
	sent := flood(6*time.Second, nil)
	asked := d.lock.countLines(followedLine)
	most := int(time.Since(began)/(5*time.Second)) + 1
	t.Logf("%d hints in %v: the lock asked %d times and sent %d records, the gateway %d", sent,
		time.Since(began).Round(time.Millisecond), asked, records.Load(), answers.Load())
	if asked < 1 || asked > most {
		t.Errorf("the lock asked %d times, want 1 to %d", asked, most)
	}
	// The limit is that of TestForgedHintsAtFullRate.
	if n, limit := records.Load(), int64(most*(1+4)+3); n > limit || answers.Load() > limit {
		t.Errorf("the lock sent %d records and the gateway %d, want at most %d", n, answers.Load(), limit)
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		if v, err := d.reader.scan(annsCard); err != nil || v.Verdict != wire.Granted {
			t.Errorf("a scan while hints come: got %+v, %v", v, err)
		}
	}()
	flood(time.Minute, over)
	<-over
	if n := handshakes.Load(); n > 0 {
		t.Errorf("the lock sent %d handshake records, want none: its session continues", n)
	}
}
