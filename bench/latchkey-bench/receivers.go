package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"time"

	"latchkey/bench/peer"
	"latchkey/gateway/access/sinks"
	"latchkey/gateway/endpoint"
	"latchkey/gateway/mqtt"
	"latchkey/gateway/sink/broker"
	"latchkey/gateway/sink/webhook"
	"latchkey/keys"
)

// outsideServer is where a sink sends to. arrived gets the time of each event and when it came.
type outsideServer struct {
	sink    sinks.Sink
	arrived chan arrival
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
	arrived := newArrivals()
	end, err := peer.WatchNATS(b.ctx, s.Addr,
		func(body []byte, came time.Time) { readTimes(body, came, arrived) })
	if err != nil {
		return outsideServer{}, errors.Join(err, s.Stop())
	}
	return outsideServer{sinks.Sink{Protocol: sinks.NATS,
		Endpoint: endpoint.Endpoint{URL: "nats://" + s.Addr, Private: true}}, arrived,
		func() error { return errors.Join(end(), s.Stop()) }}, nil
}

// rabbit is a RabbitMQ server for all rounds, because its start takes long.
type rabbit struct {
	server *broker.Rabbit // nil: it is not installed
	queues int
}

func (b *bench) startRabbit() (*rabbit, error) {
	if slices.Contains(peer.Missing(), "rabbitmq-server") {
		return &rabbit{}, nil
	}
	s, err := broker.StartRabbit(broker.Config{CPUs: b.server})
	return &rabbit{server: s}, err
}

func (r *rabbit) here() bool { return r.server != nil }

func (r *rabbit) stop() {
	if r.here() {
		r.server.Stop()
	}
}

func (r *rabbit) start091() (outsideServer, error) {
	return r.start(func(queue string) sinks.Sink { return sinks.Sink{Protocol: sinks.AMQP091, Place: queue} })
}

func (r *rabbit) start10() (outsideServer, error) {
	return r.start(func(queue string) sinks.Sink {
		return sinks.Sink{Protocol: sinks.AMQP10, Place: "/amq/queue/" + queue}
	})
}

// start makes a queue with a reader, and an exchange of the same name before it.
func (r *rabbit) start(sinkTo func(queue string) sinks.Sink) (outsideServer, error) {
	r.queues++
	name, arrived := fmt.Sprintf("latchkey-%d", r.queues), newArrivals()
	if err := r.server.DeclareExchange(name); err != nil {
		return outsideServer{}, err
	}
	if err := r.server.DeclareQueue(name, 0); err != nil {
		return outsideServer{}, err
	}
	if err := r.server.Bind(name, name, "#"); err != nil {
		return outsideServer{}, err
	}
	end, err := r.server.Watch(name, func(body []byte, came time.Time) { readTimes(body, came, arrived) })
	if err != nil {
		return outsideServer{}, err
	}
	s := sinkTo(name)
	s.Endpoint = r.server.Endpoint()
	return outsideServer{s, arrived, func() error { return errors.Join(end(), r.server.DeleteQueue(name)) }}, nil
}
