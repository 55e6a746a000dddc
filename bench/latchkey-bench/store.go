package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"latchkey/bench/load"
	"latchkey/bench/report"
	"latchkey/bench/server"
	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/audit"
	"latchkey/gateway/store"
)

var storeScenario = scenario{
	name: "store", title: "Decision, admission, event",
	what: "In this process, without a network, in a closed loop of 1 or 64 callers. Decide is the policy " +
		"alone, over 10,000 grants. Admit decides, moves the counter and keeps a sealed event; append " +
		"keeps " +
		"one other event. In memory nothing is synced; on disk each batch is, and 64 callers share " +
		"batches. The floor appends 200 bytes to a file and syncs it, one caller.",
	run: runStore,
}

func runStore(b *bench) error {
	each := time.Duration(b.size(1000, 300, 50)) * time.Millisecond
	for range b.rounds {
		if err := b.syncs(each); err != nil {
			return err
		}
		for _, where := range []string{"memory", "disk"} {
			if err := b.admissions(where, each); err != nil {
				return fmt.Errorf("%s: %w", where, err)
			}
		}
	}
	return nil
}

// syncs measures synced writes to a file, the floor of this scenario.
func (b *bench) syncs(each time.Duration) (err error) {
	f, err := os.Create(filepath.Join(b.tmp, "floor"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	record := make([]byte, 200)
	l, took := load.RunClosedLoop(b.ctx, 1, each, func(context.Context, int) error {
		if _, err := f.Write(record); err != nil {
			return err
		}
		return unix.Fdatasync(int(f.Fd()))
	})
	return b.addRates("disk, 1 at once", report.Floor, l, took)
}

func (b *bench) addRates(kase, system string, l *load.Latencies, took time.Duration) error {
	b.add(kase, system, "rate", "1/s", float64(l.Count())/took.Seconds(), isMain, isMore)
	b.add(kase, system, "p50", "µs", l.At(50))
	b.add(kase, system, "p99", "µs", l.At(99))
	if failed, first := l.Failed(); failed > 0 {
		return fmt.Errorf("%d of %d failed, the first: %w", failed, l.Count(), first)
	}
	return nil
}

// cardAttempts returns one attempt at each reader, with a card that opens its door.
func cardAttempts(st *store.Store, readers int) []access.Attempt {
	p := st.Snapshot()
	attempts := make([]access.Attempt, readers)
	for i := range attempts {
		k := p.Keys[server.Reader(i)]
		d := p.Devices[k.Device]
		attempts[i] = access.Attempt{Source: access.ByCard, Device: d.ID, Key: k.ID,
			Credential: st.CredentialID(server.Card(i)), Tail: "0000",
			Target: d.Targets[0], Action: wire.Unlock, ClockTrusted: true}
	}
	return attempts
}

func (b *bench) admissions(where string, each time.Duration) (err error) {
	const readers = 64
	o := store.Options{InMemory: where == "memory"}
	if !o.InMemory {
		o.Dir = b.newFolder()
	}
	st, err := store.Open(b.ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	house := server.House{Doors: readers, Grants: 10_000}
	if err := house.Build(b.ctx, st, b.secret, time.Now()); err != nil {
		return err
	}
	p := st.Snapshot()
	attempts := cardAttempts(st, readers)
	if where == "memory" {
		a := attempts[0]
		a.Counter, a.At = 1, time.Now()
		if d := access.Decide(p, a); !d.Granted {
			return fmt.Errorf("not granted: %v", d.Reason)
		}
		const batch = 1000 // reading the clock costs as much as a few decisions
		l, took := load.RunClosedLoop(b.ctx, 1, each, func(context.Context, int) error {
			for range batch {
				access.Decide(p, a)
			}
			return nil
		})
		b.add("decide, 1 at once", gatewayName, "rate", "1/s", float64(l.Count())*batch/took.Seconds(),
			isMain, isMore)
		b.add("decide, 1 at once", gatewayName, "p50", "µs", l.At(50)/batch)
	}
	var counters [readers]atomic.Uint64
	var inTurn atomic.Uint64
	for _, callers := range []int{1, 64} {
		l, took := load.RunClosedLoop(b.ctx, callers, each, func(ctx context.Context, w int) error {
			i := w
			if callers == 1 {
				i = int(inTurn.Add(1)) % readers
			}
			a := attempts[i]
			a.Counter, a.At = counters[i].Add(1), time.Now()
			adm, err := st.Admit(ctx, a)
			if err == nil && !adm.Decision.Granted {
				err = fmt.Errorf("not granted: %v", adm.Decision.Reason)
			}
			return err
		})
		if err := b.addRates(fmt.Sprintf("%s, %d at once", where, callers), gatewayName+", admit", l,
			took); err != nil {
			return err
		}
		l, took = load.RunClosedLoop(b.ctx, callers, each, func(ctx context.Context, _ int) error {
			_, err := st.Record(ctx, audit.Event{Kind: audit.EventThrottle, Detail: "measured"})
			return err
		})
		if err := b.addRates(fmt.Sprintf("%s, %d at once", where, callers), gatewayName+", append", l,
			took); err != nil {
			return err
		}
	}
	return nil
}
