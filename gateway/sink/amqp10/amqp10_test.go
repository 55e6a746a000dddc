package amqp10

import (
	"context"
	"testing"

	"latchkey/gateway/access/sinks"
	"latchkey/gateway/endpoint/testca"
	"latchkey/gateway/sink/brokertest"
	"latchkey/gateway/sink/sender"
	"latchkey/gateway/sink/sinktest"
	"latchkey/keys"
)

func TestSendIsReadByBothProtocols(t *testing.T) {
	r := useRabbit(t)
	for name, read := range map[string]func(string) ([]brokertest.Delivery, error){"0-9-1": r.Read, "1.0": r.Read10} {
		queue := makeQueue(t, r, 0)
		sent := sinktest.Make(1, 250)
		brokertest.MustSend(t, openSender(t, r, queue), sent)
		got, err := read(queue)
		brokertest.Check(t, err)
		if twice := brokertest.CheckAll(t, got, len(sent)); twice > 0 {
			t.Errorf("%s: %d messages came twice", name, twice)
		}
		for i, d := range got {
			if string(d.Body) != string(sent[i].Body) || !d.Durable || d.ContentType != "application/cloudevents+json" {
				t.Fatalf("%s: got %+v, want %+v", name, d, sent[i])
			}
		}
	}
}

func TestHalts(t *testing.T) {
	r := useRabbit(t)
	queue := makeQueue(t, r, 0)
	brokertest.Check(t, r.AddUser("narrow", "secret", "^nothing$"))
	brokertest.Check(t, r.AddUser("writer", "secret", ".*"))
	brokertest.Check(t, r.Control("set_permissions", "writer", "^$", ".*", "^$"))
	other := testca.New(t)
	foreign, foreignKey := other.Issue(t, "latchkey")
	unknown, unknownKey := r.CA.Issue(t, "nobody")
	tls := func(k *sinks.Sink) { k.Endpoint.URL, k.Endpoint.CA = "amqps://127.0.0.1:"+r.TLSPort, r.CA.PEM }
	user := func(name string) func(*sinks.Sink) {
		return func(k *sinks.Sink) { k.Endpoint.User, k.Endpoint.Password = name, keys.Hide("secret") }
	}
	for _, tt := range []struct {
		name   string
		change func(*sinks.Sink)
	}{
		{"no address", func(k *sinks.Sink) { k.Place = "" }},
		{"no queue", func(k *sinks.Sink) { k.Place = "/amq/queue/elsewhere" }},
		{"an exchange, where an unroutable message is accepted",
			func(k *sinks.Sink) { k.Place = "/exchange/amq.topic/key" }},
		{"a queue that does not outlive a restart", func(k *sinks.Sink) { k.Place = "/queue/" + queue }},
		{"an address of RabbitMQ 4", func(k *sinks.Sink) { k.Place = "/queues/" + queue }},
		{"wrong password", func(k *sinks.Sink) { k.Endpoint.Password = keys.Hide("wrong") }},
		{"neither user nor certificate", func(k *sinks.Sink) { k.Endpoint.User = "" }},
		{"unknown virtual host", func(k *sinks.Sink) { k.Endpoint.URL += "/other" }},
		{"no right to write", user("narrow")},
		{"no right to read, so nobody says whether the queue is there", user("writer")},
		{"address of this machine", func(k *sinks.Sink) { k.Endpoint.Private = false }},
		{"the server's certificate is signed by others", func(k *sinks.Sink) { tls(k); k.Endpoint.CA = other.PEM }},
		{"our certificate is signed by others", func(k *sinks.Sink) {
			tls(k)
			k.Endpoint.User, k.Endpoint.Cert, k.Endpoint.Key = "", foreign, keys.Hide(foreignKey)
		}},
		{"our certificate names no user", func(k *sinks.Sink) {
			tls(k)
			k.Endpoint.User, k.Endpoint.Cert, k.Endpoint.Key = "", unknown, keys.Hide(unknownKey)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			brokertest.MustHalt(t, openSender(t, r, queue, tt.change), sinktest.Make(1, 3))
		})
	}
}

func TestClientCertificateSignsIn(t *testing.T) {
	r := useRabbit(t)
	queue := makeQueue(t, r, 0)
	brokertest.Check(t, r.AddUser("gateway", "unused", "^amq.default$"))
	cert, key := r.CA.Issue(t, "gateway")
	brokertest.MustSend(t, openSender(t, r, queue, func(k *sinks.Sink) {
		k.Endpoint.URL, k.Endpoint.CA, k.Endpoint.User = "amqps://127.0.0.1:"+r.TLSPort, r.CA.PEM, ""
		k.Endpoint.Cert, k.Endpoint.Key = cert, keys.Hide(key)
	}), sinktest.Make(1, 3))
	if n, err := r.Count(queue); n != 3 || err != nil {
		t.Errorf("got %d messages, %v", n, err)
	}
}

func TestRemovedQueueTakesNothing(t *testing.T) {
	r := useRabbit(t)
	queue := makeQueue(t, r, 0)
	s := openSender(t, r, queue)
	brokertest.MustSend(t, s, sinktest.Make(1, 100))
	brokertest.Check(t, r.DeleteQueue(queue))
	brokertest.MustHalt(t, s, sinktest.Make(101, 103)) // RabbitMQ 3 has accepted the messages
	brokertest.Check(t, r.DeclareQueue(queue, 0))
	brokertest.MustSend(t, s, sinktest.Make(101, 103))
	if n, err := r.Count(queue); n != 3 || err != nil {
		t.Errorf("got %d messages, %v", n, err)
	}
}

func TestFullQueue(t *testing.T) {
	r := useRabbit(t)
	queue := makeQueue(t, r, 20)
	s := openSender(t, r, queue)
	var got []brokertest.Delivery
	refused := 0
	for at := 1; at <= 60; {
		n, err := s.Send(context.Background(), sinktest.Make(at, 60))
		if at += n; err == nil {
			continue
		}
		t.Log(err)
		if sender.IsPermanent(err) {
			t.Fatal(err)
		}
		refused++
		more, err := r.Read(queue)
		brokertest.Check(t, err)
		got = append(got, more...)
	}
	more, err := r.Read(queue)
	brokertest.Check(t, err)
	brokertest.CheckAll(t, append(got, more...), 60)
	if refused == 0 {
		t.Error("the queue was never full")
	}
}
