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
	"latchkey/gateway/store"
	"latchkey/keys/provision"
)

// doors is how many doors are tapped in turn. One association may make ten requests a second, with a burst of twenty, and the taps of
// this benchmark come faster than any person's: enough doors keep every reader within its rate.
const doors = 64

// house is a gateway with doors and, at each, a reader and a lock over real DTLS on loopback.
type house struct {
	readers []*device.Device
	uids    [][]byte
	acted   chan gateway.Timeline
}

func newHouse(b *testing.B, opts store.Options) *house {
	b.Helper()
	if !opts.InMemory {
		opts.Dir = b.TempDir()
	}
	st, err := store.Open(context.Background(), opts)
	if err != nil {
		b.Fatal(err)
	}
	h := &house{acted: make(chan gateway.Timeline, doors)}
	g, err := gateway.New(gateway.Config{Store: st, Listen: "127.0.0.1:0", Clock: gateway.ClockRTC,
		Timeline: func(tl gateway.Timeline) {
			if !tl.Repeated {
				h.acted <- tl
			}
		}})
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
	for i := range doors {
		uid := []byte{4, 3, 2, byte(i)}
		for _, d := range h.furnish(b, g, st, i, uid) {
			d.Gateway, d.Retry = g.Addr().String(), time.Second
			n := device.New(d)
			nodes.Go(func() { _ = n.Run(ctx) }) // returns nil when ctx ends
			ready, stop := context.WithTimeout(ctx, 20*time.Second)
			if err := n.Ready(ready); err != nil {
				b.Fatal(err)
			}
			stop()
			if d.Kind == wire.KindReader {
				h.readers, h.uids = append(h.readers, n), append(h.uids, uid)
			}
		}
	}
	deadline := time.Now().Add(20 * time.Second)
	for known := 0; known < doors; {
		known = 0
		for _, v := range g.Views() {
			if v.Kind == wire.KindLock && v.Known {
				known++
			}
		}
		if time.Now().After(deadline) {
			b.Fatalf("the state of %d of %d locks was read", known, doors)
		}
		time.Sleep(time.Millisecond)
	}
	return h
}

// furnish makes one door with its devices and somebody who may open it.
func (h *house) furnish(b *testing.B, g *gateway.Gateway, st *store.Store, i int, uid []byte) []device.Config {
	b.Helper()
	now := time.Now()
	door := access.Target{ID: access.NewID(), Name: fmt.Sprintf("door-%d", i), Kind: access.Door, Pulse: time.Second, Created: now}
	person := access.Person{ID: access.NewID(), Name: fmt.Sprintf("person-%d", i), Created: now}
	changes := []access.Change{{Put: door}, {Put: person},
		{Put: access.Credential{ID: st.CredentialID(uid), Person: person.ID, Tail: "0200", Status: access.CardActive, Created: now}},
		{Put: access.Grant{ID: access.NewID(), SubjectKind: access.SubjectPerson, Subject: person.ID, Target: door.ID, Effect: access.Allow, Created: now}}}
	var cfgs []device.Config
	for _, kind := range []wire.Kind{wire.KindLock, wire.KindReader} {
		d := access.Device{ID: access.NewID(), Name: fmt.Sprintf("%s-%d", kind, i), Kind: kind, Targets: []access.ID{door.ID}, Created: now}
		k := provision.New(string(d.ID))
		changes = append(changes, access.Change{Put: d}, access.Change{Put: k})
		cfgs = append(cfgs, device.Config{Name: d.Name, Kind: kind, Identity: k.ID, Secret: k.Secret})
	}
	if _, err := g.Apply(context.Background(), "bench", changes...); err != nil {
		b.Fatal(err)
	}
	return cfgs
}

// BenchmarkTapToCommand taps one door after the other, one tap at a time: a closed loop, so it says how long a door takes and not how
// many the gateway can serve. The tap that is measured is the whole of it: node, DTLS, freshness, decision, synced write, command over
// the lock's own session, receipt, second synced write, verdict. Taps that were not granted and done are counted, and fail it.
func BenchmarkTapToCommand(b *testing.B) {
	for _, s := range []struct {
		name string
		opts store.Options
	}{{"disk", store.Options{}}, {"memory", store.Options{InMemory: true}}} {
		b.Run(s.name, func(b *testing.B) { tapToCommand(b, newHouse(b, s.opts)) })
	}
}

func tapToCommand(b *testing.B, h *house) {
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
		v, err := h.readers[door].Scan(context.Background(), h.uids[door])
		told := time.Since(tapped)
		if err != nil {
			b.Fatal(err)
		}
		tl := <-h.acted
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
