package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/dustin/go-humanize/english"

	"latchkey/bench/load"
	"latchkey/bench/report"
	"latchkey/bench/server"
)

var throughputScenario = scenario{
	name: "throughput", title: "Requests, and what they cost",
	what: "A closed loop: each session makes one confirmable request after the other. CPU is the time " +
		"that the server's process used, user and system, for 100,000 requests. Where the server is " +
		"faster than the generator, the rate is the generator's, and only CPU can be compared. All but " +
		"the gateway answer a PUT of 46 bytes and do nothing else. The gateway decides a scan of a " +
		"card that opens nothing: freshness, policy, counter, an event sealed and synced to disk, " +
		"verdict. Its limit of ten requests a second for one session is lifted for this.",
	panel: &report.Panel{Title: "Server CPU for 100,000 requests, 16 sessions", Case: "16 sessions",
		Metric: "CPU per 100,000"},
	run: runThroughput,
}

func runThroughput(b *bench) error {
	counts, each := []int{16}, time.Duration(b.size(1000, 500, 100))*time.Millisecond
	if b.full {
		counts = []int{1, 16, 256}
	}
	all := newCurves()
	for _, n := range counts {
		for range b.rounds {
			for _, s := range chooseSystems() {
				if err := b.throughput(s, n, each, all); err != nil {
					return fmt.Errorf("%s, %d sessions: %w", s.name, n, err)
				}
			}
		}
	}
	b.addCurves(all)
	return nil
}

func (b *bench) throughput(s system, n int, each time.Duration, all *curves) (err error) {
	t, err := s.start(b, server.Order{Sessions: n, House: server.House{Readers: n}, Dir: b.newFolder(),
		Unbound: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.stop()) }()
	sessions, err := openAll(b.ctx, s, t, n, 0)
	defer closeAll(sessions)
	if err != nil {
		return err
	}
	do := func(_ context.Context, worker int) error { return sessions[worker].exchange() }
	load.RunClosedLoop(b.ctx, n, each/4, do) // warm-up
	before, err := t.usage()
	if err != nil {
		return err
	}
	mallocs := t.mallocs()
	l, took := load.RunClosedLoop(b.ctx, n, each, do)
	after, err := t.usage()
	if err != nil {
		return err
	}
	kase := english.Plural(n, "session", "")
	done := float64(l.Count())
	cpu := (after.CPU - before.CPU).Seconds()
	b.add(kase, s.name, "CPU per 100,000", "s", cpu/done*1e5, isMain, explain(s.name, "throughput"))
	b.add(kase, s.name, "rate", "1/s", done/took.Seconds(), isMore)
	b.add(kase, s.name, "server busy", "%", 100*cpu/took.Seconds()/float64(len(b.server)))
	b.add(kase, s.name, "p50", "µs", l.At(50))
	b.add(kase, s.name, "p99", "µs", l.At(99))
	if m := t.mallocs(); m > 0 {
		b.add(kase, s.name, "allocations a request", "", float64(m-mallocs)/done)
	}
	b.add(kase, s.name, "RSS", "MB", float64(after.RSS)/1e6)
	failed, first := l.Failed()
	b.add(kase, s.name, "failed", "", float64(failed))
	if failed > l.Count()/100 {
		return fmt.Errorf("%d of %d requests failed, the first: %w", failed, l.Count(), first)
	}
	all.merge(kase, s.name, l)
	return nil
}

// mallocs returns how many objects the server has allocated, or 0 if that is unknown.
func (t *target) mallocs() uint64 {
	if t.own != nil {
		n, _ := t.own.Mallocs() // if the server has ended, the next request fails
		return n
	}
	if t.peer != nil {
		f, _ := t.peer.Figures(false) // other programs cannot be asked
		return f.Mallocs
	}
	return 0
}

// abreast is how many handshakes the generator makes at once.
const abreast = 16

// openAll opens n sessions, at most perSecond in a second unless that is 0. The caller must close
// the sessions that it returns, even if it also returns an error.
func openAll(ctx context.Context, s system, t *target, n, perSecond int) ([]exchanger, error) {
	var mu sync.Mutex
	var failed error
	all := make([]exchanger, n)
	began := time.Now()
	var wg sync.WaitGroup
	for w := range min(abreast, n) {
		wg.Go(func() {
			for i := w; i < n; i += abreast {
				if perSecond > 0 {
					at := began.Add(time.Duration(i) * time.Second / time.Duration(perSecond))
					_ = load.Sleep(ctx, time.Until(at)) // the next line checks ctx
				}
				if ctx.Err() != nil {
					return
				}
				x, err := s.open(ctx, t, i)
				mu.Lock()
				if all[i] = x; err != nil {
					all[i], failed = nil, errors.Join(failed, fmt.Errorf("session %d: %w", i, err))
				}
				bad := failed != nil
				mu.Unlock()
				if bad {
					return
				}
			}
		})
	}
	wg.Wait()
	if failed == nil {
		failed = ctx.Err()
	}
	return all, failed
}

func closeAll(all []exchanger) {
	for _, x := range all {
		if x != nil {
			_ = x.Close() // the other side may have closed it
		}
	}
}
