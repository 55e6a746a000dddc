package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/dustin/go-humanize"

	"latchkey/bench/load"
	"latchkey/bench/report"
	"latchkey/bench/server"
)

var idleScenario = scenario{
	name: "idle", title: "Memory for each idle session",
	what: "The sessions are opened, each makes one request, and then they are silent. Servers in Go " +
		"collect their garbage and return free memory to the system before they are measured; for the " +
		"others it is what the kernel counts. The figure is RSS with the sessions, less RSS before the " +
		"first one, divided by their number. After that a hundred of them make one more request; the " +
		"run fails unless all are answered. The gateway's store is in memory.",
	run: runIdle,
}

func runIdle(b *bench) error {
	counts := []int{b.size(1000, 1000, 100)}
	if b.full {
		counts = []int{1000, 10_000}
	}
	most := humanize.Comma(int64(counts[len(counts)-1])) + " sessions"
	b.now.Panel = &report.Panel{Title: "Memory for each idle session, " + most, Case: most,
		Metric: "RSS a session"}
	for _, n := range counts {
		for range b.rounds {
			for _, s := range chooseSystems() {
				if s.name == server.Floor || s.name == server.GoCoAPTuned {
					continue
				}
				if err := b.idle(s, n); err != nil {
					return fmt.Errorf("%s, %d sessions: %w", s.name, n, err)
				}
			}
		}
	}
	return nil
}

func (b *bench) idle(s system, n int) (err error) {
	const pace = 2500 // sessions a second
	t, err := s.start(b, server.Order{Sessions: n, House: server.House{Readers: n}, Unbound: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.stop()) }()
	before, _, err := t.resident()
	if err != nil {
		return err
	}
	sessions, err := openAll(b.ctx, s, t, n, pace)
	defer closeAll(sessions)
	if err != nil {
		return err
	}
	for i, x := range sessions {
		if s.name != gatewayName { // the gateway's readers have made a request: their registration
			if err := x.exchange(); err != nil {
				return fmt.Errorf("session %d: %w", i, err)
			}
		}
	}
	if err := load.Sleep(b.ctx, time.Second); err != nil {
		return err
	}
	with, goroutines, err := t.resident()
	if err != nil {
		return err
	}
	const samples = 100
	for i := range samples {
		if err := sessions[i*n/samples].exchange(); err != nil {
			return fmt.Errorf("after the idle time: %w", err)
		}
	}
	kase := humanize.Comma(int64(n)) + " sessions"
	b.add(kase, s.name, "RSS a session", "KB", float64(with-before)/1e3/float64(n), isMain,
		explain(s.name, "idle"))
	b.add(kase, s.name, "RSS with all", "MB", float64(with)/1e6)
	if goroutines > 0 {
		b.add(kase, s.name, "goroutines a session", "", goroutines/float64(n))
	}
	return nil
}

// resident returns the server's memory and its number of goroutines, if known. Garbage is collected
// first in servers that can do that.
func (t *target) resident() (rss int64, goroutines float64, err error) {
	if t.own != nil {
		f, err := t.own.Figures()
		return f.RSS, float64(f.Goroutines), err
	}
	f, err := t.peer.Figures(true)
	if err != nil {
		f.Goroutines = 0 // other programs have only what the kernel counts
	}
	u, err := t.usage()
	return u.RSS, float64(f.Goroutines), err
}
