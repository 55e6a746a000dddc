package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"latchkey/bench/load"
	"latchkey/bench/peer"
	"latchkey/coapres/device"
	"latchkey/gateway/access"
	"latchkey/gateway/endpoint"
	"latchkey/gateway/house"
	"latchkey/gateway/mqtt"
	"latchkey/keys"
)

// switchLamps measures lamps that a client switches by MQTT, each a few times: more often the gateway
// does not obey.
func (b *bench) switchLamps(all *curves) (err error) {
	lamps := b.size(64, 32, 4)
	broker, err := peer.StartBroker(b.ctx, b.peerConfig())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, broker.Stop()) }()
	g, err := b.startOutside(0)
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
