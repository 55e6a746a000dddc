package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"latchkey/bench/load"
	"latchkey/bench/server"
	"latchkey/gateway"
	"latchkey/gateway/access"
	"latchkey/gateway/access/sinks"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/client"
	"latchkey/gateway/audit"
	"latchkey/gateway/clock"
	"latchkey/gateway/house"
	"latchkey/gateway/store"
)

const (
	caseSend = "events waiting in the chain"
	caseLag  = "200 scans a second, from an event to its arrival"
	caseLamp = "from Home Assistant's command to the lamp's state there"

	outsideRate  = 200 // scans a second
	outsideDoors = 64  // a reader may send ten requests a second
	lampRate     = 5   // a second
)

var outsideScenario = scenario{
	name: "outside", title: "Events to other servers, and a lamp by MQTT",
	what: "The gateway runs in this process, on the CPUs of the load, with its store on disk; the servers " +
		"are on the others, but for the webhook, which is here. Without TLS. The rate is of a chain that waits " +
		"to be sent, until the server has taken all of it: a webhook gets batches of 100, a broker each event " +
		"on its own, a stream of NATS one after the other, synced as it likes. RabbitMQ has a durable queue, " +
		"and confirms what it has written. The lag is under scans at a fixed rate, in turn at 64 doors, each " +
		"with a reader and a lock: from the time of an event in the chain, of which a scan makes two, until " +
		"the webhook or a reader of the server has it. The lamp's time is from the command at the broker " +
		"until its state is there, with the decision on disk in between.",
	run: runOutside,
}

// outsideGateway is a gateway in this process.
type outsideGateway struct {
	store *store.Store
	gw    *gateway.Gateway
	end   func() error
}

// startOutside starts a gateway with so many doors.
func (b *bench) startOutside(doors int) (*outsideGateway, error) {
	st, err := store.Open(b.ctx, store.Options{Dir: b.newFolder()})
	if err != nil {
		return nil, err
	}
	if err := (server.House{Doors: doors}).Build(b.ctx, st, b.secret, time.Now()); err != nil {
		return nil, errors.Join(err, st.Close())
	}
	gw, err := gateway.New(gateway.Config{Store: st, Listen: "127.0.0.1:0", Clock: clock.RTC,
		HandshakeRate: 1e6}) // all nodes connect from one address
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	ctx, cancel := context.WithCancel(b.ctx)
	ran := make(chan error, 1)
	go func() { ran <- gw.Run(ctx) }()
	return &outsideGateway{st, gw, func() error { cancel(); return errors.Join(<-ran, st.Close()) }}, nil
}

func (g *outsideGateway) apply(ctx context.Context, records ...access.Record) error {
	p := house.Plan{Card: g.store.CredentialID, At: time.Now()}
	p.Add(records...)
	_, err := g.gw.Apply(ctx, "bench", p.Take()...)
	return err
}

// fill records events in a closed loop of many callers.
func (g *outsideGateway) fill(ctx context.Context, n int) error {
	var wg sync.WaitGroup
	errs := make([]error, 64)
	for w := range errs {
		wg.Go(func() {
			for range n / len(errs) {
				if _, err := g.store.Record(ctx, measuredEvent); err != nil {
					errs[w] = err
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

var measuredEvent = audit.Event{Kind: audit.EventThrottle,
	Device: audit.Named{ID: "0a1b2c3d4e", Name: "front-reader"}}

// sent waits until the sink is done with an event.
func (g *outsideGateway) sent(ctx context.Context, seq uint64) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	for {
		v, err := client.Call(ctx, client.InProcess(g.gw.AdminHandler()).RoundTrip, api.GetSink,
			api.ByRef{Ref: "sink"})
		switch {
		case err != nil:
			return err
		case v.Paused != "":
			return fmt.Errorf("the sink is paused: %s", v.Paused)
		case v.Status != nil && v.Status.Seq >= seq:
			return nil
		}
		if err := load.Sleep(ctx, 2*time.Millisecond); err != nil {
			return err
		}
	}
}

func runOutside(b *bench) (err error) {
	all := newCurves()
	rabbit, err := b.startRabbit()
	if err != nil {
		return err
	}
	defer rabbit.stop()
	for range b.rounds {
		for _, kind := range []struct {
			protocol sinks.Protocol
			here     bool
			start    func() (outsideServer, error)
		}{{sinks.Webhook, true, b.startWebhook}, {sinks.MQTT, hasMQTT(), b.startMQTT},
			{sinks.NATS, true, b.startNATS}, {sinks.AMQP091, rabbit.here(), rabbit.start091},
			{sinks.AMQP10, rabbit.here(), rabbit.start10}} {
			if !kind.here {
				continue
			}
			if err := b.sendEvents(gatewayName+", "+string(kind.protocol), kind.start, all); err != nil {
				return fmt.Errorf("%s: %w", kind.protocol, err)
			}
		}
		if !hasMQTT() {
			continue
		}
		if err := b.switchLamps(all); err != nil {
			return fmt.Errorf("lamps: %w", err)
		}
	}
	b.addCurves(all)
	return nil
}

// sendEvents measures one kind of sink.
func (b *bench) sendEvents(system string, start func() (outsideServer, error), all *curves) (err error) {
	s, err := start()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	doors := b.size(outsideDoors, outsideDoors, 16)
	g, err := b.startOutside(doors)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.end()) }()
	if err := g.fill(b.ctx, b.size(100_000, 20_000, 640)); err != nil {
		return err
	}
	head, _ := g.store.Head()
	s.sink.ID, s.sink.Name, s.sink.From, s.sink.Created = access.NewID(), "sink", 1, time.Now()
	began := time.Now()
	if err := g.apply(b.ctx, s.sink); err != nil {
		return err
	}
	if err := g.sent(b.ctx, head); err != nil {
		return err
	}
	b.add(caseSend, system, "rate", "1/s", float64(head)/time.Since(began).Seconds(), isMain, isMore)
	return b.measureLag(system, g, s, doors, all)
}

// measureLag scans at a fixed rate while the sink sends what happens.
func (b *bench) measureLag(system string, g *outsideGateway, s outsideServer, doors int, all *curves) error {
	d, err := openDoors(b.ctx, g.gw.Addr().String(), &target{secret: b.secret}, doors)
	if err != nil {
		return err
	}
	defer d.close()
	if err := d.settle(b.ctx); err != nil {
		return err
	}
	before, _ := g.store.Head()
	if err := g.sent(b.ctx, before); err != nil {
		return err
	}
	began := time.Now()
	verdicts, _ := d.taps(b.ctx, outsideRate, b.size(4000, 600, 40))
	took := time.Since(began)
	after, _ := g.store.Head()
	lags := load.NewLatencies()
	late := time.After(time.Minute)
	for lags.Count() < int(after-before) {
		select {
		case a := <-s.arrived:
			if a.made.After(began) { // and so it is not of the waiting chain
				lags.Add(a.came.Sub(a.made), nil)
			}
		case <-b.ctx.Done(): // the gateway has ended too
			return b.ctx.Err()
		case <-late:
			return fmt.Errorf("%d of %d events arrived", lags.Count(), after-before)
		}
	}
	b.addLatencies(caseLag, system, lags, all)
	refused, _ := verdicts.Failed()
	b.add(caseLag, system, "scans a second", "1/s", float64(verdicts.Count())/took.Seconds())
	b.add(caseLag, system, "scans not granted", "", float64(refused))
	return nil
}
