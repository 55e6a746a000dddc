package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	"latchkey/bench/load"
	"latchkey/bench/peer"
	"latchkey/coapres/device"
	"latchkey/gateway"
	"latchkey/gateway/access"
	"latchkey/gateway/access/sinks"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/client"
	"latchkey/gateway/audit"
	"latchkey/gateway/clock"
	"latchkey/gateway/endpoint"
	"latchkey/gateway/house"
	"latchkey/gateway/mqtt"
	"latchkey/gateway/sink/webhook"
	"latchkey/gateway/store"
	"latchkey/keys"
)

const (
	caseSend = "events waiting in the chain"
	caseLag  = "200 events a second, from the event to its arrival"
	caseLamp = "from Home Assistant's command to the lamp's state there"

	eventRate = 200 // a second
	lampRate  = 5   // a second
)

var outsideScenario = scenario{
	name: "outside", title: "Events to other servers, and a lamp by MQTT",
	what: "The gateway runs in this process, on the CPUs of the load, with its store on disk; the servers " +
		"are on the others, but for the webhook, which is here. Without TLS. The rate is of a chain that waits " +
		"to be sent, until the server has taken all of it: a webhook gets batches of 100, a broker each event " +
		"on its own, a stream of NATS one after the other, synced as it likes. The lag is from the time of " +
		"an event until the server, or a subscriber of the broker, has it. The lamp's time is from the " +
		"command at the broker until its state is there, with the decision on disk in between.",
	run: runOutside,
}

// outsideGateway is a gateway in this process.
type outsideGateway struct {
	store *store.Store
	gw    *gateway.Gateway
	end   func() error
}

func (b *bench) startOutside() (*outsideGateway, error) {
	st, err := store.Open(b.ctx, store.Options{Dir: b.newFolder()})
	if err != nil {
		return nil, err
	}
	gw, err := gateway.New(gateway.Config{Store: st, Listen: "127.0.0.1:0", Clock: clock.RTC})
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

// outsideServer is where a sink sends to. arrived gets the time of each event and when it came.
type outsideServer struct {
	sink    sinks.Sink
	arrived chan arrival // nil: nobody can tell
	stop    func() error
}

type arrival struct{ made, came time.Time }

func newArrivals() chan arrival { return make(chan arrival, 1<<17) }

// readTimes reads the times of events.
func readTimes(body []byte, came time.Time, into chan<- arrival) {
	type event struct{ Time time.Time }
	var all []event
	if len(body) > 0 && body[0] != '[' {
		all = make([]event, 1)
		_ = json.Unmarshal(body, &all[0])
	} else {
		_ = json.Unmarshal(body, &all)
	}
	for _, e := range all {
		select {
		case into <- arrival{e.Time, came}:
		default:
		}
	}
}

func (b *bench) startWebhook() (outsideServer, error) {
	arrived := newArrivals()
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		came, body := time.Now(), make([]byte, max(r.ContentLength, 0))
		for n := 0; n < len(body); {
			more, err := r.Body.Read(body[n:])
			if n += more; err != nil {
				break
			}
		}
		readTimes(body, came, arrived)
	}))
	return outsideServer{sinks.Sink{Protocol: sinks.Webhook, Secrets: []keys.Hidden{webhook.MintSecret()},
		Endpoint: endpoint.Endpoint{URL: s.URL, Private: true}}, arrived,
		func() error { s.Close(); return nil }}, nil
}

func (b *bench) peerConfig() peer.Config { return peer.Config{Root: b.root, CPUs: b.server} }

func (b *bench) startMQTT() (outsideServer, error) {
	s, err := peer.StartBroker(b.ctx, b.peerConfig())
	if err != nil {
		return outsideServer{}, err
	}
	e := endpoint.Endpoint{URL: "mqtt://" + s.Addr, Private: true}
	arrived := newArrivals()
	c, err := mqtt.Open(b.ctx, mqtt.Settings{Endpoint: e, ClientID: "reader",
		Subscriptions: []mqtt.Subscription{{Topic: "latchkey/+/event/#"}},
		Message:       func(m mqtt.Message) { readTimes(m.Payload, m.At, arrived) }})
	if err != nil {
		return outsideServer{}, errors.Join(err, s.Stop())
	}
	return outsideServer{sinks.Sink{Protocol: sinks.MQTT, Endpoint: e}, arrived,
		func() error { return errors.Join(c.Close(), s.Stop()) }}, nil
}

func (b *bench) startNATS() (outsideServer, error) {
	s, err := peer.StartNATS(b.ctx, b.peerConfig())
	if err != nil {
		return outsideServer{}, err
	}
	return outsideServer{sinks.Sink{Protocol: sinks.NATS,
		Endpoint: endpoint.Endpoint{URL: "nats://" + s.Addr, Private: true}}, nil, s.Stop}, nil
}

func runOutside(b *bench) error {
	all := newCurves()
	for range b.rounds {
		for _, kind := range []struct {
			protocol sinks.Protocol
			start    func() (outsideServer, error)
		}{{sinks.Webhook, b.startWebhook}, {sinks.MQTT, b.startMQTT}, {sinks.NATS, b.startNATS}} {
			if kind.protocol == sinks.MQTT && !hasMQTT() {
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
	g, err := b.startOutside()
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
	if s.arrived == nil {
		return nil
	}
	for len(s.arrived) > 0 {
		<-s.arrived
	}
	return b.measureLag(system, g, s, all)
}

func (b *bench) measureLag(system string, g *outsideGateway, s outsideServer, all *curves) error {
	n := b.size(4000, 1000, 100)
	write := func(ctx context.Context, _ int, _ time.Time) (time.Time, error) {
		_, err := g.store.Record(ctx, measuredEvent)
		return time.Time{}, err
	}
	written := load.RunOpenLoop(b.ctx, 16, eventRate, n, write)
	if failed, first := written.Failed(); failed > 0 {
		return fmt.Errorf("%d events not written: %w", failed, first)
	}
	lags := load.NewLatencies()
	late := time.After(time.Minute)
	for range n {
		select {
		case a := <-s.arrived:
			lags.Add(a.came.Sub(a.made), nil)
		case <-late:
			return errors.New("events do not arrive")
		}
	}
	b.addLatencies(caseLag, system, lags, all)
	return nil
}

// switchLamps measures lamps that a client switches by MQTT, each a few times: more often the gateway
// does not obey.
func (b *bench) switchLamps(all *curves) (err error) {
	lamps := b.size(64, 32, 4)
	broker, err := peer.StartBroker(b.ctx, b.peerConfig())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, broker.Stop()) }()
	g, err := b.startOutside()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.end()) }()
	e := endpoint.Endpoint{URL: "mqtt://" + broker.Addr, Private: true}
	home := access.Integration{ID: access.NewID(), Name: "home", Endpoint: e, Base: "latchkey",
		Prefix: "homeassistant", Created: time.Now()}
	p := house.Plan{Card: g.store.CredentialID, At: time.Now()}
	p.Add(home)
	ctx, cancel := context.WithCancel(b.ctx)
	var ran sync.WaitGroup
	defer func() { cancel(); ran.Wait() }()
	c := &lampClient{seen: map[string]string{}, changed: make(chan struct{})}
	var nodes []*device.Device
	for i := range lamps {
		lamp := p.Lamp(fmt.Sprintf("lamp-%d", i))
		_, k := p.Device(fmt.Sprintf("node-%d", i), keys.KindLamp, lamp)
		p.Add(access.Grant{ID: access.NewID(), SubjectKind: access.SubjectIntegration, Subject: home.ID,
			Target: lamp, Effect: access.Allow, Created: time.Now()})
		c.lamps = append(c.lamps, "latchkey/"+string(g.store.SiteID())+"/"+string(lamp)+"/")
		nodes = append(nodes, device.New(device.Config{Name: fmt.Sprintf("node-%d", i), Kind: keys.KindLamp,
			Gateway: g.gw.Addr().String(), Identity: k.ID, Secret: k.Secret}))
	}
	if _, err := g.gw.Apply(ctx, "bench", p.Take()...); err != nil {
		return err
	}
	for _, node := range nodes {
		ran.Go(func() { _ = node.Run(ctx) }) // returns nil when ctx ends
		if err := node.Ready(ctx); err != nil {
			return err
		}
	}
	c.conn, err = mqtt.Open(ctx, mqtt.Settings{Endpoint: e, ClientID: "home", Message: c.take})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.conn.Close()) }()
	if err := c.awaitAll(ctx); err != nil {
		return err
	}
	toggle := func(ctx context.Context, i int, _ time.Time) (time.Time, error) {
		return time.Time{}, c.toggle(ctx, c.lamps[i])
	}
	l := load.RunOpenLoop(ctx, lamps, lampRate, 4*lamps, toggle)
	if failed, first := l.Failed(); failed > 0 {
		return fmt.Errorf("%d of %d lamps not switched: %w", failed, l.Count(), first)
	}
	b.addLatencies(caseLamp, gatewayName+", mqtt", l, all)
	return nil
}

const (
	lampIsOff = `{"state":"OFF","brightness":null}`
	lampIsOn  = `{"state":"ON","brightness":100}`
)

// lampClient plays Home Assistant.
type lampClient struct {
	lamps []string // beginnings of their topics
	conn  *mqtt.Conn

	mu      sync.Mutex
	seen    map[string]string // guarded by mu; the last payload of each topic
	changed chan struct{}     // guarded by mu; closed at the next message
}

func (c *lampClient) take(m mqtt.Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[m.Topic] = string(m.Payload)
	close(c.changed)
	c.changed = make(chan struct{})
}

// await waits until holds is true. It calls it with mu locked.
func (c *lampClient) await(ctx context.Context, holds func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		c.mu.Lock()
		ok, changed := holds(), c.changed
		c.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// awaitAll waits until all lamps are known to be off. It asks for what the broker keeps again and
// again, since a client drops what comes too fast.
func (c *lampClient) awaitAll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		if err := c.conn.Subscribe(ctx, mqtt.Subscription{Topic: "latchkey/+/+/attr", Retained: true},
			mqtt.Subscription{Topic: "latchkey/+/+/state", Retained: true}); err != nil {
			return err
		}
		if err := load.Sleep(ctx, time.Second); err != nil {
			return err
		}
		known := 0
		c.mu.Lock()
		for _, lamp := range c.lamps {
			if c.seen[lamp+"attr"] != "" && c.seen[lamp+"state"] == lampIsOff {
				known++
			}
		}
		c.mu.Unlock()
		if known == len(c.lamps) {
			return nil
		}
	}
}

// toggle switches a lamp and waits for its new state, and for its next echo, which comes with it.
func (c *lampClient) toggle(ctx context.Context, lamp string) error {
	c.mu.Lock()
	attr, action, want := c.seen[lamp+"attr"], "on", lampIsOn
	if c.seen[lamp+"state"] == lampIsOn {
		action, want = "off", lampIsOff
	}
	c.mu.Unlock()
	_, echo, _ := strings.Cut(attr, `:"`)
	command := fmt.Sprintf(`{"a":%q,"e":%q,"t":%d}`, action, strings.TrimSuffix(echo, `"}`),
		time.Now().UnixMilli())
	if err := c.conn.Publish(ctx, lamp+"set", []byte(command), false, 0); err != nil {
		return err
	}
	return c.await(ctx, func() bool { return c.seen[lamp+"state"] == want && c.seen[lamp+"attr"] != attr })
}
