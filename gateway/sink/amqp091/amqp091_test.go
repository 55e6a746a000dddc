package amqp091

import (
	"context"
	"errors"
	"testing"
	"time"

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
		place := makePlace(t, r, 0)
		sent := sinktest.Make(1, 250)
		sent[7].Target = "a1b2c3d4e5"
		start := time.Now()
		brokertest.MustSend(t, openSender(t, r, place), sent)
		t.Log(name, time.Since(start))
		got, err := read(place)
		brokertest.Check(t, err)
		if len(got) != len(sent) {
			t.Fatalf("%s: got %d messages, want %d", name, len(got), len(sent))
		}
		for i, d := range got {
			m := sent[i]
			if d.ID != m.ID || string(d.Body) != string(m.Body) || !d.Durable ||
				d.ContentType != "application/cloudevents+json" {
				t.Fatalf("%s: got %+v, want %+v", name, d, m)
			}
			if key := Key(m); name == "0-9-1" && d.Key != key {
				t.Errorf("got key %s, want %s", d.Key, key)
			}
		}
	}
	if got := Key(sender.Message{Site: "site", Kind: "report", Target: "door"}); got != "latchkey.site.report.door" {
		t.Errorf("got the key %s", got)
	}
	if got := Key(sender.Message{Site: "site", Kind: "start"}); got != "latchkey.site.start.-" {
		t.Errorf("got the key %s for a message without a target", got)
	}
}

func TestHalts(t *testing.T) {
	r := useRabbit(t)
	place := makePlace(t, r, 0)
	brokertest.Check(t, r.AddUser("narrow", "secret", "^nothing$"))
	other := testca.New(t)
	foreign, foreignKey := other.Issue(t, "latchkey")
	unknown, unknownKey := r.CA.Issue(t, "nobody")
	tls := func(k *sinks.Sink) { k.Endpoint.URL, k.Endpoint.CA = "amqps://127.0.0.1:"+r.TLSPort, r.CA.PEM }
	for _, tt := range []struct {
		name   string
		change func(*sinks.Sink)
	}{
		{"wrong password", func(k *sinks.Sink) { k.Endpoint.Password = keys.Hide("wrong") }},
		{"unknown user", func(k *sinks.Sink) { k.Endpoint.User = "nobody" }},
		{"neither user nor certificate", func(k *sinks.Sink) { k.Endpoint.User = "" }},
		{"unknown virtual host", func(k *sinks.Sink) { k.Endpoint.URL += "/other" }},
		{"no exchange", func(k *sinks.Sink) { k.Place = "elsewhere" }},
		{"no right to write", func(k *sinks.Sink) {
			k.Endpoint.User, k.Endpoint.Password = "narrow", keys.Hide("secret")
		}},
		{"no right to declare", func(k *sinks.Sink) {
			k.Endpoint.User, k.Endpoint.Password, k.Declare, k.Place = "narrow", keys.Hide("secret"), true, "amq.new"
		}},
		{"an exchange of another kind", func(k *sinks.Sink) { k.Declare, k.Place = true, "amq.direct" }},
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
			brokertest.MustHalt(t, openSender(t, r, place, tt.change), sinktest.Make(1, 3))
		})
	}
}

func TestClientCertificateSignsIn(t *testing.T) {
	r := useRabbit(t)
	place := makePlace(t, r, 0)
	brokertest.Check(t, r.AddUser("gateway", "unused", "^"+place+"$"))
	cert, key := r.CA.Issue(t, "gateway")
	brokertest.MustSend(t, openSender(t, r, place, func(k *sinks.Sink) {
		k.Endpoint.URL, k.Endpoint.CA, k.Endpoint.User = "amqps://127.0.0.1:"+r.TLSPort, r.CA.PEM, ""
		k.Endpoint.Cert, k.Endpoint.Key = cert, keys.Hide(key)
	}), sinktest.Make(1, 3))
	if n, err := r.Count(place); n != 3 || err != nil {
		t.Errorf("got %d messages, %v", n, err)
	}
}

func TestDeclareMakesTheExchange(t *testing.T) {
	r := useRabbit(t)
	const place = "latchkey-declared"
	s := openSender(t, r, place, func(k *sinks.Sink) { k.Declare = true })
	if n, err := s.Send(context.Background(), sinktest.Make(1, 1)); n != 0 || sender.IsPermanent(err) || err == nil {
		t.Fatalf("got %d taken and %v, want returned", n, err)
	}
	brokertest.Check(t, r.DeclareQueue(place, 0))
	brokertest.Check(t, r.Bind(place, place, "latchkey.*.*.*"))
	brokertest.MustSend(t, s, sinktest.Make(1, 1))
}

func TestMessageWithoutQueueIsRefusedThenTheRestGoes(t *testing.T) {
	r := useRabbit(t)
	const place = "latchkey-half"
	brokertest.Check(t, r.DeclareExchange(place))
	brokertest.Check(t, r.DeclareQueue(place, 0))
	for _, kind := range []string{"decision", "receipt", "report"} {
		brokertest.Check(t, r.Bind(place, place, "latchkey.*."+kind+".*"))
	}
	s := openSender(t, r, place)
	all := sinktest.Make(1, 20)
	all[9].Kind = "start" // nothing is bound to its key
	at, tries := 0, 0
	for at < len(all) {
		n, err := s.Send(context.Background(), all[at:])
		at += n
		var refusal *sender.Refusal
		if errors.As(err, &refusal) {
			if t.Log(err); at != 9 || tries != 2 {
				t.Fatalf("message %d was refused after %d tries: %v", at, tries, err)
			}
			at++
		} else if err != nil {
			if tries++; at != 9 || tries > 2 {
				t.Fatalf("message %d: %v", at, err)
			}
		}
	}
	got, err := r.Read(place)
	brokertest.Check(t, err)
	if len(got) != 19 {
		t.Fatalf("got %d messages, want 19, each once", len(got))
	}
	for i, want := range append(all[:9:9], all[10:]...) {
		if got[i].ID != want.ID {
			t.Fatalf("message %d: got %s, want %s", i, got[i].ID, want.ID)
		}
	}
}

func TestLostBindingInTheMiddle(t *testing.T) {
	r := useRabbit(t)
	place := makePlace(t, r, 0)
	s := openSender(t, r, place)
	brokertest.MustSend(t, s, sinktest.Make(1, 50))
	brokertest.Check(t, r.Unbind(place, place, "#"))
	if n, err := s.Send(context.Background(), sinktest.Make(51, 60)); n != 0 || err == nil || sender.IsPermanent(err) {
		t.Fatalf("got %d taken and %v, want none", n, err)
	}
	brokertest.Check(t, r.Bind(place, place, "#"))
	brokertest.MustSend(t, s, sinktest.Make(51, 60))
	r.CheckOnce(t, place, 60)
}

func TestFullQueue(t *testing.T) {
	r := useRabbit(t)
	place := makePlace(t, r, 20)
	s := openSender(t, r, place)
	var got []brokertest.Delivery
	refused := 0
	all := sinktest.Make(1, 200)
	for at := 0; at < len(all); {
		n, err := s.Send(context.Background(), all[at:min(at+100, len(all))])
		if at += n; err == nil {
			continue
		}
		if sender.IsPermanent(err) {
			t.Fatal(err)
		}
		refused++
		more, err := r.Read(place)
		brokertest.Check(t, err)
		got = append(got, more...)
	}
	more, err := r.Read(place)
	brokertest.Check(t, err)
	if twice := brokertest.CheckAll(t, append(got, more...), 200); twice > 0 {
		t.Errorf("%d came twice", twice)
	}
	if t.Logf("refused %d times", refused); refused < 5 {
		t.Error("the queue was never full")
	}
}
