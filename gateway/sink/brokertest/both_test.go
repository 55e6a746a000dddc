package brokertest_test

import (
	"context"
	"slices"
	"testing"

	"latchkey/gateway/access/sinks"
	"latchkey/gateway/endpoint/badnet"
	"latchkey/gateway/endpoint/testca"
	"latchkey/gateway/sink/amqp091"
	"latchkey/gateway/sink/broker"
	"latchkey/gateway/sink/brokertest"
	"latchkey/gateway/sink/flight"
	"latchkey/gateway/sink/sender"
	"latchkey/gateway/sink/sinktest"
)

// What one protocol sends, receivers of either protocol read.
func TestSendIsReadByBothProtocols(t *testing.T) {
	onBoth(t, func(t *testing.T, r *brokertest.Rabbit, p protocol) {
		type reading = func(queue string) ([]broker.Delivery, error)
		for reader, read := range map[string]reading{"0-9-1": r.Read, "1.0": r.Read10} {
			place := makePlace(t, r, 0)
			sent := sinktest.Make(1, 250)
			sent[7].Target = "a1b2c3d4e5"
			brokertest.MustSend(t, openSender(t, r, p, place), sent)
			got, err := read(place)
			brokertest.Check(t, err)
			if len(got) != len(sent) {
				t.Fatalf("%s: got %d messages, want %d", reader, len(got), len(sent))
			}
			for i, d := range got {
				m := sent[i]
				if d.ID != m.ID || string(d.Body) != string(m.Body) || !d.Durable ||
					d.ContentType != "application/cloudevents+json" {
					t.Fatalf("%s: got %+v, want %+v", reader, d, m)
				}
				if key := amqp091.Key(m); p.Protocol == sinks.AMQP091 && reader == "0-9-1" && d.Key != key {
					t.Errorf("got key %s, want %s", d.Key, key)
				}
			}
		}
	})
}

// halt is a reason to send nothing until somebody changes something.
type halt struct {
	name   string
	change change
}

// halts are the reasons that are the same with both protocols.
func halts(t *testing.T, r *brokertest.Rabbit) []halt {
	t.Helper()
	brokertest.Check(t, r.AddUser("narrow", "secret", "^nothing$"))
	other := testca.New(t)
	foreign, foreignKey := other.Issue(t, "latchkey")
	unknown, unknownKey := r.CA.Issue(t, "nobody")
	return []halt{
		{"wrong password", as("guest", "wrong")},
		{"unknown user", as("nobody", "guest")},
		{"neither user nor certificate", func(k *sinks.Sink) { k.Endpoint.User = "" }},
		{"unknown virtual host", func(k *sinks.Sink) { k.Endpoint.URL += "/other" }},
		{"no right to write", as("narrow", "secret")},
		{"address of this machine", func(k *sinks.Sink) { k.Endpoint.Private = false }},
		{"the server's certificate is signed by others", func(k *sinks.Sink) {
			withTLS(r, "", "")(k)
			k.Endpoint.User, k.Endpoint.CA = "guest", other.PEM
		}},
		{"our certificate is signed by others", withTLS(r, foreign, foreignKey)},
		{"our certificate names no user", withTLS(r, unknown, unknownKey)},
	}
}

// halts091 are those of AMQP 0-9-1 alone.
var halts091 = []halt{
	{"no exchange", func(k *sinks.Sink) { k.Place = "elsewhere" }},
	{"no right to declare", func(k *sinks.Sink) {
		k.Declare, k.Place = true, "amq.new"
		as("narrow", "secret")(k)
	}},
	{"an exchange of another kind", func(k *sinks.Sink) { k.Declare, k.Place = true, "amq.direct" }},
}

// halts10 are those of AMQP 1.0 alone.
var halts10 = []halt{
	{"no address", func(k *sinks.Sink) { k.Place = "" }},
	{"no queue", func(k *sinks.Sink) { k.Place = "/amq/queue/elsewhere" }},
	{"an exchange, where an unroutable message is accepted",
		func(k *sinks.Sink) { k.Place = "/exchange/amq.topic/key" }},
	{"a queue that does not outlive a restart", func(k *sinks.Sink) { k.Place = "/queue/latchkey" }},
	{"an address of RabbitMQ 4", func(k *sinks.Sink) { k.Place = "/queues/latchkey" }},
	{"no right to read, so nobody says whether the queue is there", as("writer", "secret")},
}

func TestHalts(t *testing.T) {
	t.Parallel()
	r := useRabbit(t)
	brokertest.Check(t, r.AddUser("writer", "secret", ".*"))
	brokertest.Check(t, r.SetPermissions("writer", "^$", ".*", "^$"))
	place := makePlace(t, r, 0)
	both := halts(t, r)
	for p, all := range map[*protocol][]halt{&protocol091: slices.Concat(both, halts091),
		&protocol10: slices.Concat(both, halts10)} {
		for _, tt := range all {
			t.Run(string(p.Protocol)+", "+tt.name, func(t *testing.T) {
				t.Parallel()
				brokertest.MustHalt(t, openSender(t, r, *p, place, tt.change), sinktest.Make(1, 3))
			})
		}
	}
}

func TestClientCertificateSignsIn(t *testing.T) {
	onBoth(t, func(t *testing.T, r *brokertest.Rabbit, p protocol) {
		place, user := makePlace(t, r, 0), "gateway-"+string(p.Protocol)
		brokertest.Check(t, r.AddUser(user, "unused", p.writes))
		cert, key := r.CA.Issue(t, user)
		brokertest.MustSend(t, openSender(t, r, p, place, withTLS(r, cert, key)), sinktest.Make(1, 3))
		if n, err := r.Count(place); n != 3 || err != nil {
			t.Errorf("got %d messages, %v", n, err)
		}
	})
}

func TestFullQueue(t *testing.T) {
	onBoth(t, func(t *testing.T, r *brokertest.Rabbit, p protocol) {
		most, n, atLeast, atMostTwice := 20, 200, 5, 0
		if p.Protocol == sinks.AMQP10 {
			// Instead of rejecting the message RabbitMQ 3 ends the connection, some seconds later. What
			// was on its way comes again.
			most, n, atLeast, atMostTwice = 40, 60, 1, flight.Most
		}
		place := makePlace(t, r, most)
		s := openSender(t, r, p, place)
		var got []broker.Delivery
		refused := 0
		all := sinktest.Make(1, n)
		for at := 0; at < n; {
			taken, err := s.Send(context.Background(), all[at:min(at+100, n)])
			if at += taken; err == nil {
				continue
			}
			if t.Log(err); sender.IsPermanent(err) {
				t.FailNow()
			}
			refused++
			more, err := r.Read(place)
			brokertest.Check(t, err)
			got = append(got, more...)
		}
		more, err := r.Read(place)
		brokertest.Check(t, err)
		if twice := brokertest.CheckAll(t, append(got, more...), n); twice > atMostTwice {
			t.Errorf("%d came twice", twice)
		}
		if t.Logf("refused %d times", refused); refused < atLeast {
			t.Error("the queue was never full")
		}
	})
}

func TestRevokedRights(t *testing.T) {
	onBoth(t, func(t *testing.T, r *brokertest.Rabbit, p protocol) {
		place, user := makePlace(t, r, 0), "revoked-"+string(p.Protocol)
		way := badnet.Start(t, "127.0.0.1:"+r.Port)
		brokertest.Check(t, r.AddUser(user, "guest", p.writes))
		s := openSender(t, r, p, place, through(way), as(user, "guest"))
		brokertest.MustSend(t, s, sinktest.Make(1, 100))
		for _, revoke := range []func() error{
			func() error { return r.SetPermissions(user, "", "^nothing$", ".*") },
			func() error { return r.ClearPermissions(user) },
		} {
			brokertest.Check(t, revoke())
			way.Cut() // RabbitMQ remembers the rights of a channel for as long as the channel is busy
			brokertest.UntilHalt(t, s, sinktest.Make(101, 200))
		}
		brokertest.Check(t, r.SetPermissions(user, "", p.writes, ".*"))
		brokertest.MustSend(t, s, sinktest.Make(101, 200))
		way.Cut()
		brokertest.Check(t, r.RemoveUser(user))
		brokertest.UntilHalt(t, s, sinktest.Make(201, 300))
		r.CheckOnce(t, place, 200)
	})
}
