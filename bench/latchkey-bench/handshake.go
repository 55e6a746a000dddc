package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"latchkey/bench/load"
	"latchkey/bench/server"
)

var handshakeScenario = scenario{
	name: "handshake", title: "Handshakes",
	what: "DTLS 1.2 with PSK_WITH_AES_128_CCM_8 and extended master secret, cookie exchange included, " +
		"eight at once in a closed loop, each closed again with a close_notify. " +
		"The node's half is stock pion on a CPU of its own and costs about as much as ours, so compare " +
		"the server's CPU. The gateway's bound on handshakes a second is lifted; " +
		"its figure includes opening the session in its table, and the transport's does not. Where a " +
		"server gives connection IDs, one is asked for.",
	run: runHandshake,
}

func runHandshake(b *bench) error {
	each := time.Duration(b.size(1500, 500, 100)) * time.Millisecond
	all := newCurves()
	for range b.rounds {
		for _, s := range chooseSystems() {
			// The floor has no handshake, the tuned server has the same one.
			if s.name == server.Floor || s.name == server.GoCoAPTuned {
				continue
			}
			if err := b.handshakes(s, each, all); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
		}
	}
	b.addCurves(all)
	return nil
}

func (b *bench) handshakes(s system, each time.Duration, all *curves) (err error) {
	const workers = 8
	const nodes = 4096 // identities, used in turn
	t, err := s.start(b, server.Order{Sessions: nodes, House: server.House{Readers: nodes}, Unbound: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.stop()) }()
	var next atomic.Int64
	do := func(ctx context.Context, _ int) error {
		n := int(next.Add(1)) % nodes
		x, err := load.Dial(ctx, t.addr, load.Options{Identity: server.Identity(n), Secret: b.secret,
			CID: t.own != nil, Source: source(n)})
		if err != nil {
			return err
		}
		return x.Close()
	}
	load.RunClosedLoop(b.ctx, workers, each/4, do)
	before, err := t.usage()
	if err != nil {
		return err
	}
	l, took := load.RunClosedLoop(b.ctx, workers, each, do)
	after, err := t.usage()
	if err != nil {
		return err
	}
	failed, first := l.Failed()
	if failed > l.Count()/100 {
		return fmt.Errorf("%d of %d failed, the first: %w", failed, l.Count(), first)
	}
	cpu := (after.CPU - before.CPU).Seconds()
	b.add("", s.name, "CPU each", "ms", cpu*1e3/float64(l.Count()), isMain, explain(s.name, "handshake"))
	b.add("", s.name, "rate", "1/s", float64(l.Count())/took.Seconds(), isMore)
	b.add("", s.name, "server busy", "%", 100*cpu/took.Seconds()/float64(len(b.server)))
	b.add("", s.name, "p50", "µs", l.At(50))
	b.add("", s.name, "p99", "µs", l.At(99))
	b.add("", s.name, "failed", "", float64(failed))
	all.merge("", s.name, l)
	return nil
}
