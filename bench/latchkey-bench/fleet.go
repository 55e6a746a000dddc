package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dustin/go-humanize"

	"latchkey/bench/server"
)

var fleetScenario = scenario{
	name: "fleet", title: "A building: scans beside a fleet of idle sessions",
	what: "The gateway alone, store on disk: scans at a fixed rate, in turn at 256 doors, while " +
		"other readers hold idle sessions and the policy has many grants of other people. " +
		"Full: 200 scans a second, 10,000 sessions, 100,000 grants. Short: 1,000 sessions and 10,000 " +
		"grants. The gateway opens a store that another process has made. CPU is the share of its one " +
		"processor that the server uses; RSS is what the kernel counts, with garbage.",
	run: runFleet,
}

func runFleet(b *bench) error {
	const rate = 200
	sessions, grants, n := b.size(10_000, 1000, 50), b.size(100_000, 10_000, 1000), b.size(2000, 600, 50)
	doors := b.size(256, 256, 32)
	return b.fleet(sessions, grants, doors, rate, n)
}

func (b *bench) fleet(sessions, grants, atDoors int, rate float64, n int) (err error) {
	s := chooseSystems(gatewayName)[0]
	house := server.House{Doors: atDoors, Readers: sessions, Grants: grants}
	order := server.Order{Sessions: sessions + 2*atDoors, House: house, Dir: b.newFolder(), Unbound: true}
	t, err := s.start(b, order)
	if err != nil {
		return err
	}
	if err := t.stop(); err != nil { // the process that has made the policy has more garbage
		return err
	}
	if t, err = s.start(b, order); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.stop()) }()
	d, err := openDoors(b.ctx, t.addr, t, atDoors)
	if err != nil {
		return err
	}
	defer d.close()
	crowd := s
	crowd.open = openFrom(s.open, 2*atDoors)
	idle, err := openAll(b.ctx, crowd, t, sessions, 1500)
	defer closeAll(idle)
	if err != nil {
		return err
	}
	if err := d.settle(b.ctx); err != nil {
		return err
	}
	kase := fmt.Sprintf("%.0f scans/s, %s sessions, %s grants", rate, humanize.Comma(int64(sessions)),
		humanize.Comma(int64(grants)))
	all := newCurves()
	for range b.rounds {
		before, err := t.usage()
		if err != nil {
			return err
		}
		began := time.Now()
		verdicts, relays := d.taps(b.ctx, rate, n)
		took := time.Since(began)
		after, err := t.usage()
		if err != nil {
			return err
		}
		b.addLatencies(kase, gatewayName+", tap to verdict", verdicts, all)
		b.addLatencies(kase, gatewayName+", tap to relay", relays, all)
		b.add(kase, gatewayName+", tap to verdict", "server busy", "%",
			100*(after.CPU-before.CPU).Seconds()/took.Seconds())
		b.add(kase, gatewayName+", tap to verdict", "RSS", "MB", float64(after.RSS)/1e6)
	}
	b.addCurves(all)
	return nil
}

// openFrom returns open for the nodes from number first on.
func openFrom(open func(context.Context, *target, int) (exchanger, error),
	first int) func(context.Context, *target, int) (exchanger, error) {
	return func(ctx context.Context, t *target, n int) (exchanger, error) { return open(ctx, t, first+n) }
}
