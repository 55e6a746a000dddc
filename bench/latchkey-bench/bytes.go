package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"latchkey/bench/load"
	"latchkey/bench/peer"
	"latchkey/bench/report"
	"latchkey/bench/server"
	"latchkey/bench/wirebytes"
	"latchkey/coapres/device"
	"latchkey/coapres/wire"
)

const (
	caseConnect = "connect and one request"
	caseFurther = "each further request"
	casePair    = "reader and lock: each further tap"
)

var bytesScenario = scenario{
	name: "bytes", title: "Bytes and datagrams on the wire",
	what: "Counted from a capture on loopback, both ways together, from the IP header on. Latchkey's " +
		"reader: handshake with cookie and connection ID, registration, a scan and its verdict, with a " +
		"fixed counter and age. " +
		"The other CoAP servers: handshake and a PUT of 46 bytes. HTTPS: TLS 1.3 and a POST of the same. " +
		"A reader and a lock: everything that both send and receive for one tap, with command and receipt. " +
		"Loopback's segments may be longer than those " +
		"of Ethernet, which makes TCP look a little better than it is.",
	panel: &report.Panel{Title: "Bytes on the wire, connect and one request", Case: caseConnect,
		Metric: "IP bytes"},
	run: runBytes,
}

func runBytes(b *bench) error {
	for _, s := range chooseSystems() {
		if s.name == server.Floor || s.name == server.GoCoAPTuned || s.name == transportName {
			continue
		}
		if err := b.bytesOf(s); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	if err := b.bytesOfPair(); err != nil {
		return err
	}
	if hasMQTT() {
		if err := b.bytesOfMQTT(); err != nil {
			return fmt.Errorf("mqtt: %w", err)
		}
	}
	for _, p := range peer.Missing() {
		if p == "nginx" {
			return nil
		}
	}
	return b.bytesOfHTTPS()
}

func (b *bench) addTraffic(kase, system string, t wirebytes.Traffic) {
	all := t.Total()
	b.add(kase, system, "IP bytes", "B", float64(all.IPBytes), isMain, explain(system, "bytes"))
	b.add(kase, system, "payload of UDP or TCP", "B", float64(all.PayloadBytes))
	b.add(kase, system, "datagrams", "", float64(all.Datagrams))
}

func portOf(addr string) (int, error) {
	_, p, err := net.SplitHostPort(addr)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(p)
}

func (b *bench) bytesOf(s system) (err error) {
	t, err := s.start(b, server.Order{Sessions: 16, House: server.House{Doors: 1, Readers: 1}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.stop()) }()
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	if s.name == gatewayName {
		end, err := b.connectLock(t)
		if err != nil {
			return err
		}
		defer end()
		r := &wirebytes.Reader{Name: "reader-0000000000", Gateway: t.addr, Identity: server.Reader(0),
			Secret: b.secret}
		first, further, err := wirebytes.MeasureReader(ctx, r)
		if err == nil {
			b.addTraffic(caseConnect, s.name, first)
			b.addTraffic(caseFurther, s.name, further)
		}
		return err
	}
	port, err := portOf(t.addr)
	if err != nil {
		return err
	}
	var x exchanger
	first, further, err := wirebytes.Measure(ctx, port, func() (err error) {
		if x, err = s.open(ctx, t, 0); err != nil {
			return err
		}
		return x.exchange()
	}, func() error { return x.exchange() })
	if x != nil {
		defer func() { _ = x.Close() }() // the other side may have closed it
	}
	if err != nil {
		return err
	}
	b.addTraffic(caseConnect, s.name, first)
	b.addTraffic(caseFurther, s.name, further)
	return nil
}

// connectLock connects the lock of the first door. Then it taps with a reader until the door opens,
// and disconnects the reader.
func (b *bench) connectLock(t *target) (end func(), err error) {
	ctx, cancel := context.WithCancel(b.ctx)
	lock := device.New(lockConfig(t, t.addr, 0, nil))
	var ran sync.WaitGroup
	ran.Go(func() { _ = lock.Run(ctx) }) // returns nil when ctx ends
	end = func() { cancel(); ran.Wait() }
	defer func() {
		if err != nil {
			end()
		}
	}()
	r, err := dialReader(ctx, t, server.Reader(0), source(0))
	if err != nil {
		return nil, err
	}
	r.card, r.want = server.Card(0), wire.Granted
	if err := r.register(); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	for range 50 {
		if err = r.exchange(); err == nil {
			break
		}
		if err := load.Sleep(ctx, 200*time.Millisecond); err != nil {
			return nil, err
		}
	}
	return end, errors.Join(err, r.Close())
}

// bytesOfPair counts what a reader and a lock send to the gateway and receive from it.
func (b *bench) bytesOfPair() (err error) {
	t, err := chooseSystems(gatewayName)[0].start(b,
		server.Order{Sessions: 16, House: server.House{Doors: 1}})
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
	port, err := portOf(t.addr)
	if err != nil {
		return err
	}
	tap := func() error { _, err := d.tap(b.ctx, 0); return err }
	_, further, err := wirebytes.Measure(b.ctx, port, func() error {
		if err := tap(); err != nil {
			return err
		}
		return load.Sleep(b.ctx, 1500*time.Millisecond) // until the pulse has ended
	}, tap)
	if err != nil {
		return err
	}
	b.addTraffic(casePair, gatewayName, further)
	return nil
}

func (b *bench) bytesOfMQTT() (err error) {
	m, err := peer.StartMQTT(b.ctx, peer.Config{Root: b.root, CPUs: b.server, Secret: b.secret,
		Identity: server.Identity(0)}, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Stop()) }()
	port, err := portOf(m.Broker.Addr)
	if err != nil {
		return err
	}
	taps := func(n int) func() error {
		return func() error {
			_, err := m.Tap(b.ctx,
				peer.Taps{Rate: 10, Count: n, CPUs: b.load})
			return err
		}
	}
	one, two, err := wirebytes.Measure(b.ctx, port, taps(1), taps(2))
	if err != nil {
		return err
	}
	b.addTraffic(casePair, peer.MQTTName, two.Minus(one)) // both runs connect and disconnect both nodes
	return nil
}

func (b *bench) bytesOfHTTPS() (err error) {
	s, trusted, err := peer.StartHTTPS(b.ctx, peer.Config{Root: b.root, CPUs: b.server, Secret: b.secret})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	b.result.Versions[s.Name] = s.Version
	port, err := portOf(s.Addr)
	if err != nil {
		return err
	}
	c := &http.Client{Timeout: 10 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}}}
	post := func() error {
		a, err := c.Post("https://"+s.Addr+"/"+peer.Path, "application/cbor", bytes.NewReader(payload))
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, a.Body)
		return errors.Join(err, a.Body.Close())
	}
	first, further, err := wirebytes.Measure(b.ctx, port, post, post)
	if err != nil {
		return err
	}
	b.addTraffic(caseConnect, s.Name, first)
	b.addTraffic(caseFurther, s.Name, further)
	c.CloseIdleConnections()
	return nil
}
