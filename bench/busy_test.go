package bench

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"latchkey/coapres"
	"latchkey/coapres/device"
	"latchkey/coapres/transport"
	"latchkey/coapres/wire"
	"latchkey/gateway/store"
)

// CoAP codes (RFC 7252 §12.1, RFC 8516).
const (
	codeGET             = 1
	codePOST            = 2
	codeTooManyRequests = 4<<5 | 29
)

// BenchmarkTapBesideFlood taps at one door, ten times a second, alone and while the reader of
// another door sends a thousand requests a second, in turn. It measures the time from the tap until
// the command arrives at the lock. The other reader sends valid scans of a card that opens its
// door, or one scan again and again, or requests for /.well-known/core. The gateway must serve what
// is within that reader's rate and refuse the rest.
func BenchmarkTapBesideFlood(b *testing.B) {
	for _, kind := range []string{"scans", "replays", "gets"} {
		b.Run(kind, func(b *testing.B) { tapBesideFlood(b, kind) })
	}
}

const (
	tapsInTurn = 50
	tapEvery   = 100 * time.Millisecond
	floodEvery = time.Millisecond
)

func tapBesideFlood(b *testing.B, kind string) {
	h := newSite(b, store.Options{}, nil)
	opened := make(chan time.Time, tapsInTurn)
	lock, reader := h.door(0, card(0))
	lock.Changed = func(s wire.State) {
		if s.On {
			opened <- time.Now()
		}
	}
	h.node(lock)
	tapper := h.node(reader)
	lock, reader = h.door(1, card(1))
	h.node(lock)
	h.waitForLocks(2)
	f := newFlood(b, h, reader, kind)

	alone, beside := newTimes(), newTimes()
	failed := 0
	turn := func(times *hdrhistogram.Histogram) {
		tick := time.NewTicker(tapEvery)
		defer tick.Stop()
		for range tapsInTurn {
			<-tick.C
			tapped := time.Now()
			if v, err := tapper.Scan(context.Background(), card(0)); err != nil || v.Verdict != wire.Granted {
				failed++
				continue
			}
			if err := times.RecordValue((<-opened).Sub(tapped).Microseconds()); err != nil {
				b.Fatal(err)
			}
		}
	}
	for b.Loop() {
		turn(alone)
		stop := f.begin()
		turn(beside)
		stop()
	}
	for name, times := range map[string]*hdrhistogram.Histogram{"alone": alone, "beside": beside} {
		b.ReportMetric(float64(times.ValueAtQuantile(50)), name+"-µs-p50")
		b.ReportMetric(float64(times.ValueAtQuantile(99)), name+"-µs-p99")
		b.ReportMetric(float64(times.Max()), name+"-µs-max")
	}
	refused, served, other := f.refused.Load(), f.served.Load(), f.other.Load()
	perSecond := float64(refused+served+other) / f.lasted.Seconds()
	b.ReportMetric(perSecond, "requests/s")
	b.ReportMetric(float64(refused), "refused")
	b.ReportMetric(float64(served), "served")
	b.ReportMetric(float64(other), "other")
	b.ReportMetric(float64(failed), "failed")
	if failed > 0 || other > 0 || perSecond < 950 {
		b.Errorf("%d taps failed, %d requests of %.0f a second had another answer: "+
			"want none, none and a thousand", failed, other, perSecond)
	}
}

func newTimes() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, int64(10*time.Second/time.Microsecond), 3)
}

// flood is a reader that sends requests at a fixed rate, whatever it is answered. It runs in the
// same process, on the same CPUs.
type flood struct {
	kind                   string
	conn                   *transport.Conn
	held                   coapres.Held
	counter                atomic.Uint64
	refused, served, other atomic.Int64 // answered 4.29; answered 2.xx; anything else or no answer
	lasted                 time.Duration
}

func newFlood(b *testing.B, h *site, reader device.Config, kind string) *flood {
	ctx, cancel := context.WithCancel(context.Background())
	conn, err := transport.Dial(ctx, h.gateway.Addr().String(), reader.Identity, reader.Secret, nil)
	if err != nil {
		cancel()
		b.Fatal(err)
	}
	b.Cleanup(func() { cancel(); <-conn.Done() })
	f := &flood{kind: kind, conn: conn}
	call, done := context.WithTimeout(ctx, 5*time.Second)
	defer done()
	register := coapres.Request{Method: codePOST, Path: "/rd"} // its answer has an Echo
	if _, err := coapres.Call(call, conn, &f.held, register); err != nil {
		b.Fatal(err)
	}
	return f
}

// begin sends requests until stop is called. At most two requests are under way at once; one that
// is due meanwhile is sent as soon as possible, so that the rate is kept.
func (f *flood) begin() (stop func()) {
	began, over := time.Now(), make(chan struct{})
	var due atomic.Int64
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-over:
					return
				case <-time.After(time.Until(began.Add(time.Duration(due.Add(1)) * floodEvery))):
					f.send()
				}
			}
		})
	}
	return func() {
		close(over)
		wg.Wait()
		f.lasted += time.Since(began)
	}
}

func (f *flood) send() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	r := coapres.Request{Method: codeGET, Path: "/.well-known/core"}
	if f.kind != "gets" {
		n := f.counter.Load()
		if f.kind == "scans" || n == 0 {
			n = f.counter.Add(1)
		}
		r = coapres.Request{Method: codePOST, Path: "/scan", Format: wire.CBOR}
		now := time.Now()
		s := wire.Scan{N: n, UID: card(1)}
		r.Echo, s.Age = f.held.Age(now, now)
		r.Body, _ = s.Encode(wire.CBOR) // cannot fail: the scan is well-formed
	}
	switch a, err := coapres.Call(ctx, f.conn, &f.held, r); {
	case err == nil && a.Code == codeTooManyRequests:
		f.refused.Add(1)
	case err == nil && a.Code>>5 == 2:
		f.served.Add(1)
	default:
		f.other.Add(1)
	}
}
