package main

import (
	"errors"
	"fmt"
	"time"

	"latchkey/bench/load"
	"latchkey/bench/peer"
	"latchkey/bench/server"
	"latchkey/coapres/wire"
)

var coldScenario = scenario{
	name: "cold", title: "The first tap: after a cold start, and after a wake",
	what: "One after the other. Cold: the handshake, then the first request. The gateway's reader " +
		"registers and sends a scan that opens a door whose lock is connected; the others get a PUT. " +
		"Wake: the reader sends from another port and knows no Echo any more. Its connection ID finds " +
		"the session, the scan is answered 4.01 with an Echo and sent again, and the door opens. A " +
		"peer without connection IDs starts anew, as after a cold start.",
	run: runCold,
}

func runCold(b *bench) error {
	n := b.size(60, 25, 3)
	all := newCurves()
	for range b.rounds {
		if err := b.coldOurs(n, all); err != nil {
			return err
		}
		for _, s := range chooseSystems(transportName, server.GoCoAP, peer.GoCoAPDTLS2Name,
			peer.LibcoapGnuTLS, peer.LibcoapOpenSSL) {
			if err := b.coldPut(s, n, all); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
		}
	}
	b.addCurves(all)
	return nil
}

const (
	caseCold = "cold start"
	caseWake = "wake"
)

func (b *bench) coldOurs(n int, all *curves) (err error) {
	s := chooseSystems(gatewayName)[0]
	t, err := s.start(b, server.Order{Sessions: 16, House: server.House{Doors: 1}, Dir: b.newFolder(),
		Unbound: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.stop()) }()
	d, err := openDoors(b.ctx, t.addr, t, 1)
	if err != nil {
		return err
	}
	defer d.close()
	if err := d.settle(b.ctx); err != nil {
		return err
	}
	counter := d.readers[0].Counter()
	cold, wake := load.NewLatencies(), load.NewLatencies()
	for range n {
		began := time.Now()
		r, err := dialReader(b.ctx, t, server.Reader(0), source(1))
		if err == nil {
			r.counter, r.card, r.want = counter, server.Card(0), wire.Granted
			err = r.register()
		}
		if err == nil {
			err = r.exchange()
		}
		if cold.Add(time.Since(began), err); err != nil {
			return err
		}
		began = time.Now()
		r.held.Forget()
		if err = r.Move(); err == nil {
			err = r.exchange()
		}
		if wake.Add(time.Since(began), err); err != nil {
			return fmt.Errorf("after a wake: %w", err)
		}
		if counter = r.counter; r.Close() != nil {
			return errors.New("the reader's session has ended by itself")
		}
		if err := load.Sleep(b.ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	b.addLatencies(caseCold, gatewayName, cold, all, explain(s.name, "cold"))
	b.addLatencies(caseWake, gatewayName, wake, all, explain(s.name, "cold"))
	return nil
}

func (b *bench) coldPut(s system, n int, all *curves) (err error) {
	t, err := s.start(b, server.Order{Sessions: 16, Unbound: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.stop()) }()
	cold := load.NewLatencies()
	for range n {
		began := time.Now()
		x, err := s.open(b.ctx, t, 0)
		if err == nil {
			err = x.exchange()
		}
		if cold.Add(time.Since(began), err); err != nil {
			return err
		}
		if err := x.Close(); err != nil {
			return err
		}
		if err := load.Sleep(b.ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	b.addLatencies(caseCold, s.name, cold, all, explain(s.name, "cold"))
	return nil
}
