package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"latchkey/bench/load"
	"latchkey/bench/peer"
	"latchkey/bench/server"
	"latchkey/coapres/device"
)

var lossScenario = scenario{
	name: "loss", title: "A network that loses",
	what: "The warm taps and round trips, through a relay that loses datagrams each way with the given " +
		"probability, duplicates 1 % and delays 2 % for up to 30 ms so that later ones overtake them, from " +
		"a fixed seed. At 0 % it does none of this. The gateway's taps pass the relay four times, for " +
		"reader and lock, the round trips twice. Our node and gateway retransmit after two smoothed round " +
		"trips, but not before 200 ms; the peers' node after 1 s, which is the shortest of RFC 7252's " +
		"defaults without its random part.",
	run: runLoss,
}

func runLoss(b *bench) error {
	losses, n := []float64{.05}, b.size(150, 100, 64)
	if b.full {
		losses = []float64{0, .01, .05, .1}
	}
	all := newCurves()
	for _, loss := range losses {
		for round := range b.rounds {
			for _, s := range chooseSystems(gatewayName, server.GoCoAP, peer.LibcoapGnuTLS) {
				if err := b.lossy(s, loss, uint64(round+1), n, all); err != nil {
					return fmt.Errorf("%s, %v lost: %w", s.name, loss, err)
				}
			}
		}
	}
	b.addCurves(all)
	return nil
}

func (b *bench) lossy(s system, loss float64, seed uint64, n int, all *curves) (err error) {
	t, err := s.start(b, server.Order{Sessions: 2 * tapDoors, House: server.House{Doors: tapDoors},
		Dir: b.newFolder(), Unbound: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.stop()) }()
	relay, err := device.NewRelay(t.addr, seed)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, relay.Close()) }()
	bad := func() {
		if loss > 0 {
			relay.Impair(device.Impairment{Loss: loss, Duplicate: .01, Reorder: .02})
		}
	}
	kase := fmt.Sprintf("%.0f %% lost", 100*loss)
	if s.name == gatewayName {
		d, err := openDoors(b.ctx, relay.Addr(), t, tapDoors)
		if err != nil {
			return err
		}
		defer d.close()
		if err := d.settle(b.ctx); err != nil {
			return err
		}
		bad()
		verdicts, relays := d.taps(b.ctx, tapRate, n)
		b.addLatencies(kase, gatewayName+", tap to verdict", verdicts, all, explain(s.name, "loss"))
		b.addLatencies(kase, gatewayName+", tap to relay", relays, all, explain(s.name, "loss"))
		return nil
	}
	const sessions = 16
	through := *t
	through.addr = relay.Addr()
	open, err := openAll(b.ctx, s, &through, sessions, 0)
	defer closeAll(open)
	if err != nil {
		return err
	}
	bad()
	l := load.RunOpenLoop(b.ctx, sessions, tapRate, n,
		func(_ context.Context, w int, _ time.Time) (time.Time, error) {
			return time.Time{}, open[w].exchange()
		})
	b.addLatencies(kase, s.name+", round trip", l, all)
	return nil
}
