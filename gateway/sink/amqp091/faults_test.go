package amqp091

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"latchkey/gateway/access/sinks"
	"latchkey/gateway/endpoint/badnet"
	"latchkey/gateway/sink/brokertest"
	"latchkey/gateway/sink/flight"
	"latchkey/gateway/sink/sinktest"
)

// openProxied returns a sender whose connections go through a proxy.
func openProxied(t *testing.T, r *brokertest.Rabbit, place string) (*Sender, *badnet.Proxy) {
	t.Helper()
	p := badnet.Start(t, "127.0.0.1:"+r.Port)
	return openSender(t, r, place, func(k *sinks.Sink) { k.Endpoint.URL = "amqp://" + p.Addr() }), p
}

func TestFaults(t *testing.T) { testFaults(t, 3000) }

func testFaults(t *testing.T, n int) {
	r := useRabbit(t)
	place := makePlace(t, r, 0)
	s, p := openProxied(t, r, place)
	brokertest.RunFaults(t, s, n, r.Faults(p)...)
	got, err := r.Read(place)
	brokertest.Check(t, err)
	if twice := brokertest.CheckAll(t, got, n); twice > 4*flight.Most {
		t.Errorf("%d messages came twice, want at most those on their way at four cuts", twice)
	}
}

func TestFrozenNetwork(t *testing.T) {
	r := useRabbit(t)
	place := makePlace(t, r, 0)
	s, p := openProxied(t, r, place)
	brokertest.MustSend(t, s, sinktest.Make(1, 100))

	// A Send that gets no answer ends with its context, and keeps the connection.
	p.Freeze()
	err := brokertest.MustWait(t, s, 300*time.Millisecond, sinktest.Make(101, 200))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	p.Thaw()
	brokertest.MustSend(t, s, sinktest.Make(101, 200))
	r.CheckOnce(t, place, 200)

	// A connection that stays silent is given up, and so is one that does not begin.
	brokertest.Check(t, s.Close())
	s.heartbeat = 2 * time.Second
	sinktest.Deliver(t, s, sinktest.Make(201, 300))
	p.Freeze()
	for _, within := range []time.Duration{time.Minute, time.Second} {
		start := time.Now()
		err := brokertest.MustWait(t, s, within, sinktest.Make(301, 400))
		t.Log(time.Since(start), err)
	}
	p.Cut()
	p.Thaw()
	sinktest.Deliver(t, s, sinktest.Make(301, 400))

	// A write that nobody reads ends with the context as well.
	p.Freeze()
	large := sinktest.Make(401, 500)
	for i := range large {
		large[i].Body = make([]byte, 200<<10)
	}
	t.Log(brokertest.MustWait(t, s, time.Second, large))
	p.Thaw()
	sinktest.Deliver(t, s, large)
}

func TestMemoryAlarm(t *testing.T) {
	r := useRabbit(t)
	place := makePlace(t, r, 0)
	s := openSender(t, r, place)
	brokertest.Check(t, r.Control("set_vm_memory_high_watermark", "0"))
	defer func() { brokertest.Check(t, r.Control("set_vm_memory_high_watermark", "0.4")) }()
	last := 0
	late := time.Now().Add(time.Minute)
	for { // the alarm does not go off at once
		n, err := s.Send(context.Background(), sinktest.Make(last+1, last+100))
		if last += n; err != nil && strings.Contains(err.Error(), "takes nothing for now") {
			break
		} else if err != nil || time.Now().After(late) {
			t.Fatalf("%d taken, then %v", last, err)
		}
	}
	for range 3 {
		start := time.Now()
		t.Log(brokertest.MustWait(t, s, time.Minute, sinktest.Make(last+1, last+100)), time.Since(start))
	}
	other := openSender(t, r, place) // one that connects while the server takes nothing
	brokertest.MustWait(t, other, time.Minute, sinktest.Make(1, 100))
	brokertest.Check(t, other.Close())
	brokertest.Check(t, r.Control("set_vm_memory_high_watermark", "0.4"))
	sinktest.Deliver(t, s, sinktest.Make(last+1, last+100))
	got, err := r.Read(place)
	brokertest.Check(t, err)
	if twice := brokertest.CheckAll(t, got, last+100); twice > 1 { // what the other sender had on its way
		t.Errorf("%d came twice", twice)
	}
}

func TestRevokedRights(t *testing.T) {
	r := useRabbit(t)
	place := makePlace(t, r, 0)
	brokertest.Check(t, r.AddUser("revoked", "guest", "^latchkey-"))
	s := openSender(t, r, place, func(k *sinks.Sink) { k.Endpoint.User = "revoked" })
	brokertest.MustSend(t, s, sinktest.Make(1, 100))
	brokertest.Check(t, r.Control("clear_permissions", "revoked"))
	// RabbitMQ remembers the rights of a channel for as long as the channel is busy.
	brokertest.Check(t, r.Control("close_all_connections", "test"))
	brokertest.UntilHalt(t, s, sinktest.Make(101, 200))
	brokertest.Check(t, r.Control("set_permissions", "revoked", "", "^latchkey-", ""))
	brokertest.MustSend(t, s, sinktest.Make(101, 200))
	brokertest.Check(t, r.Control("delete_user", "revoked"))
	brokertest.UntilHalt(t, s, sinktest.Make(101, 200))

	place2 := makePlace(t, r, 0)
	s = openSender(t, r, place2)
	brokertest.MustSend(t, s, sinktest.Make(1, 100))
	brokertest.Check(t, r.DeleteExchange(place2))
	brokertest.UntilHalt(t, s, sinktest.Make(101, 200))
}
