package bench

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"latchkey/coapres/device"
	"latchkey/coapres/wire"
	"latchkey/gateway"
	"latchkey/gateway/access"
	"latchkey/gateway/clock"
	"latchkey/gateway/house"
	"latchkey/gateway/store"
	"latchkey/keys"
)

// doors is how many doors are tapped in turn. One association may make ten requests a second, with
// a burst of twenty. This benchmark taps faster than any person, so it needs many doors to keep
// every reader within its rate.
const doors = 64

// site is a gateway with doors and, at each, a reader and a lock over real DTLS on loopback.
type site struct {
	b       testing.TB
	gateway *gateway.Gateway
	store   *store.Store
	// node starts a node that runs until the benchmark ends, and waits until it is registered.
	node func(device.Config) *device.Device
}

// newSite starts a gateway without doors. told, which may be nil, is called for every attempt that
// was decided.
func newSite(b testing.TB, opts store.Options, told func(gateway.Timeline)) *site {
	b.Helper()
	if !opts.InMemory {
		opts.Dir = b.TempDir()
	}
	st, err := store.Open(context.Background(), opts)
	if err != nil {
		b.Fatal(err)
	}
	g, err := gateway.New(gateway.Config{Store: st, Listen: "127.0.0.1:0", Clock: clock.RTC, Timeline: told})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- g.Run(ctx) }()
	var nodes sync.WaitGroup
	b.Cleanup(func() {
		cancel()
		nodes.Wait()
		if err := <-ran; err != nil {
			b.Error(err)
		}
		if err := st.Close(); err != nil {
			b.Error(err)
		}
	})
	return &site{b, g, st, func(cfg device.Config) *device.Device {
		cfg.Gateway, cfg.Retry = g.Addr().String(), time.Second
		n := device.New(cfg)
		nodes.Go(func() { _ = n.Run(ctx) }) // returns nil when ctx ends
		ready, stop := context.WithTimeout(ctx, 20*time.Second)
		defer stop()
		if err := n.Ready(ready); err != nil {
			b.Fatal(err)
		}
		return n
	}}
}

// waitForLocks waits until the gateway has read the state of that many locks.
func (h *site) waitForLocks(locks int) {
	h.b.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for known := 0; known < locks; {
		known = 0
		for _, v := range h.gateway.Views() {
			if v.Kind == keys.KindLock && v.Known {
				known++
			}
		}
		if time.Now().After(deadline) {
			h.b.Fatalf("the state of %d of %d locks was read", known, locks)
		}
		time.Sleep(time.Millisecond)
	}
}

// door makes a door with a reader and a lock, and a person who may open it with this card.
func (h *site) door(i int, uid []byte) (lock, reader device.Config) {
	h.b.Helper()
	p := house.Plan{Card: h.store.CredentialID, At: time.Now()}
	door := p.Door(fmt.Sprintf("door-%d", i), time.Second)
	p.Allow(access.SubjectPerson, p.Person(fmt.Sprintf("person-%d", i), uid), door, "")
	device := func(kind keys.Kind) device.Config {
		name := fmt.Sprintf("%s-%d", kind, i)
		_, k := p.Device(name, kind, door)
		return device.Config{Name: name, Kind: kind, Identity: k.ID, Secret: k.Secret}
	}
	lock, reader = device(keys.KindLock), device(keys.KindReader)
	if _, err := h.gateway.Apply(context.Background(), "bench", p.Take()...); err != nil {
		h.b.Fatal(err)
	}
	return lock, reader
}

// BenchmarkTapToCommand taps one door after the other, one tap at a time. It is a closed loop, so
// it measures how long a door takes and not how many doors the gateway can serve. A tap includes
// everything: node, DTLS, freshness, decision, synced write, command over the lock's own session,
// receipt, verdict. A tap that was not granted and done is counted and fails the benchmark.
func BenchmarkTapToCommand(b *testing.B) {
	for _, s := range []struct {
		name string
		opts store.Options
	}{{"disk", store.Options{}}, {"memory", store.Options{InMemory: true}}} {
		b.Run(s.name, func(b *testing.B) { tapToCommand(b, s.opts) })
	}
}

// card is the UID that opens a door.
func card(door int) []byte { return []byte{4, 3, 2, byte(door)} }

func tapToCommand(b *testing.B, opts store.Options) {
	acted := make(chan gateway.Timeline, doors)
	h := newSite(b, opts, func(tl gateway.Timeline) {
		if !tl.Repeated {
			acted <- tl
		}
	})
	var readers []*device.Device
	for i := range doors {
		lock, reader := h.door(i, card(i))
		h.node(lock)
		readers = append(readers, h.node(reader))
	}
	h.waitForLocks(doors)
	verdicts := hdrhistogram.New(1, int64(10*time.Second/time.Microsecond), 3)
	receipts := hdrhistogram.New(1, int64(10*time.Second/time.Microsecond), 3)
	next := make([]time.Time, doors) // when the door's reader is within its rate again
	failed, i := 0, 0
	b.ReportAllocs()
	for b.Loop() {
		door := i % doors
		i++
		if wait := time.Until(next[door]); wait > 0 {
			b.StopTimer()
			time.Sleep(wait)
			b.StartTimer()
		}
		tapped := time.Now()
		next[door] = tapped.Add(100 * time.Millisecond)
		v, err := readers[door].Scan(context.Background(), card(door))
		told := time.Since(tapped)
		if err != nil {
			b.Fatal(err)
		}
		tl := <-acted
		if v.Verdict != wire.Granted || tl.Acknowledged.IsZero() {
			failed++
		} else if err := receipts.RecordValue(tl.Acknowledged.Sub(tapped).Microseconds()); err != nil {
			b.Fatal(err)
		}
		if err := verdicts.RecordValue(told.Microseconds()); err != nil {
			b.Fatal(err)
		}
	}
	for name, q := range map[string]float64{"p50": 50, "p99": 99} {
		b.ReportMetric(float64(receipts.ValueAtQuantile(q)), "receipt-µs-"+name)
		b.ReportMetric(float64(verdicts.ValueAtQuantile(q)), "verdict-µs-"+name)
	}
	b.ReportMetric(float64(failed), "failed")
	if failed > 0 {
		b.Errorf("%d of %d taps were not granted and done", failed, i)
	}
}
