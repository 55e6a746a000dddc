package main

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/dustin/go-humanize"

	"latchkey/bench/load"
	"latchkey/bench/peer"
	"latchkey/bench/server"
)

var floodScenario = scenario{
	name: "flood", title: "Memory in a flood of ClientHellos",
	what: "A server with 16 sessions, which have made 10 requests each, gets one ClientHello from each of " +
		"20,000 addresses, 5,000 a second. What it answers is not answered, so no handshake goes on. Short: " +
		"2,000 addresses. Growth is the most RSS during the flood and half a second after it, less RSS " +
		"before; it is what the kernel counts, with garbage. A server that leaves hellos unanswered leaves " +
		"those of nodes unanswered too. The gateway's store is on disk. At most three rounds, each with new " +
		"servers.",
	run: runFlood,
}

func runFlood(b *bench) error {
	n := b.size(20_000, 2000, 200)
	for range min(b.rounds, 3) {
		for _, s := range chooseSystems(gatewayName, transportName, server.GoCoAP, peer.LibcoapGnuTLS,
			peer.LibcoapOpenSSL) {
			if err := b.flood(s, n); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
		}
	}
	return nil
}

func (b *bench) flood(s system, hellos int) (err error) {
	const sessions, requests = 16, 10
	o := server.Order{Sessions: 1000, House: server.House{Readers: sessions}, Dir: b.newFolder()}
	t, err := s.start(b, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.stop()) }()
	open, err := openAll(b.ctx, s, t, sessions, 100)
	defer closeAll(open)
	if err != nil {
		return err
	}
	for range requests {
		for _, x := range open {
			if err := x.exchange(); err != nil {
				return err
			}
		}
	}
	f := load.Flood{Sources: hellos, Rate: 5000, Delay: 60 * time.Millisecond}
	if f.To, err = netip.ParseAddrPort(t.addr); err != nil {
		return err
	}
	before, err := t.usage()
	if err != nil {
		return err
	}
	flooded := make(chan error, 1)
	go func() {
		err := f.Run(b.ctx)
		if err == nil {
			err = load.Sleep(b.ctx, time.Duration(b.size(500, 500, 50))*time.Millisecond)
		}
		flooded <- err
	}()
	most := before.RSS
	for {
		select {
		case err := <-flooded:
			if err != nil {
				return err
			}
			sent, answered := f.Answered()
			kase := humanize.Comma(int64(hellos)) + " hellos"
			b.add(kase, s.name, "growth of RSS", "MB", float64(most-before.RSS)/1e6, isMain,
				explain(s.name, "flood"))
			b.add(kase, s.name, "RSS before", "MB", float64(before.RSS)/1e6)
			b.add(kase, s.name, "answered", "%", 100*float64(answered)/float64(sent), isMore)
			return nil
		case <-time.After(20 * time.Millisecond):
		}
		u, err := t.usage()
		if err != nil {
			return err
		}
		most = max(most, u.RSS)
	}
}
