package amqp091

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"latchkey/gateway/access/sinks"
	"latchkey/gateway/sink/brokertest"
	"latchkey/gateway/sink/flight"
	"latchkey/gateway/sink/sender"
)

// openProxied returns a sender whose connections go through a proxy.
func openProxied(t *testing.T, r *brokertest.Rabbit, place string) (*Sender, *brokertest.Proxy) {
	t.Helper()
	p := brokertest.StartProxy(t, "127.0.0.1:"+r.Port)
	return openSender(t, r, place, func(k *sinks.Sink) { k.Endpoint.URL = "amqp://127.0.0.1:" + p.Port() }), p
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
	s.heartbeat = 2 * time.Second
	brokertest.MustSend(t, s, brokertest.MakeMessages(1, 100))

	// A Send that gets no answer ends with its context, and keeps the connection.
	p.Freeze()
	err := brokertest.MustWait(t, s, 300*time.Millisecond, brokertest.MakeMessages(101, 200))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	p.Thaw()
	brokertest.MustSend(t, s, brokertest.MakeMessages(101, 200))
	r.CheckOnce(t, place, 200)

	// A connection that stays silent is given up, and so is one that does not begin.
	p.Freeze()
	for _, within := range []time.Duration{time.Minute, time.Second} {
		start := time.Now()
		err := brokertest.MustWait(t, s, within, brokertest.MakeMessages(201, 300))
		t.Log(time.Since(start), err)
	}
	p.Cut()
	p.Thaw()
	brokertest.SendAll(t, s, brokertest.MakeMessages(201, 300))

	// A write that nobody reads ends with the context as well.
	p.Freeze()
	large := brokertest.MakeMessages(301, 400)
	for i := range large {
		large[i].Body = make([]byte, 200<<10)
	}
	if err := brokertest.MustWait(t, s, time.Second, large); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	p.Thaw()
	brokertest.SendAll(t, s, large)
}

func TestMemoryAlarm(t *testing.T) {
	r := useRabbit(t)
	place := makePlace(t, r, 0)
	s := openSender(t, r, place)
	brokertest.MustSend(t, s, brokertest.MakeMessages(1, 100))
	brokertest.Check(t, r.Control("set_vm_memory_high_watermark", "0"))
	defer func() { brokertest.Check(t, r.Control("set_vm_memory_high_watermark", "0.4")) }()
	for try := range 3 {
		start := time.Now()
		n, err := s.Send(context.Background(), brokertest.MakeMessages(101, 200))
		if n != 0 || err == nil || !strings.Contains(err.Error(), "takes nothing for now") || sender.IsPermanent(err) {
			t.Fatalf("got %d taken and %v, want that the server takes nothing", n, err)
		}
		t.Log(try, time.Since(start), err)
	}
	other := openSender(t, r, place) // one that connects while the server takes nothing
	if n, err := other.Send(context.Background(), brokertest.MakeMessages(1, 100)); n != 0 || err == nil || sender.IsPermanent(err) {
		t.Fatalf("got %d taken and %v, want none", n, err)
	}
	brokertest.Check(t, other.Close())
	brokertest.Check(t, r.Control("set_vm_memory_high_watermark", "0.4"))
	brokertest.SendAll(t, s, brokertest.MakeMessages(101, 200))
	got, err := r.Read(place)
	brokertest.Check(t, err)
	if twice := brokertest.CheckAll(t, got, 200); twice > 1 { // the one that the other sender had on its way
		t.Errorf("%d came twice", twice)
	}
}

func TestRevokedRights(t *testing.T) {
	r := useRabbit(t)
	place := makePlace(t, r, 0)
	brokertest.Check(t, r.AddUser("revoked", "guest", "^latchkey-"))
	s := openSender(t, r, place, func(k *sinks.Sink) { k.Endpoint.User = "revoked" })
	brokertest.MustSend(t, s, brokertest.MakeMessages(1, 100))
	brokertest.Check(t, r.Control("clear_permissions", "revoked"))
	// RabbitMQ remembers the rights of a channel for as long as the channel is busy.
	brokertest.Check(t, r.Control("close_all_connections", "test"))
	brokertest.UntilHalt(t, s, brokertest.MakeMessages(101, 200))
	brokertest.Check(t, r.Control("set_permissions", "revoked", "", "^latchkey-", ""))
	brokertest.MustSend(t, s, brokertest.MakeMessages(101, 200))
	brokertest.Check(t, r.Control("delete_user", "revoked"))
	brokertest.UntilHalt(t, s, brokertest.MakeMessages(101, 200))

	place2 := makePlace(t, r, 0)
	s = openSender(t, r, place2)
	brokertest.MustSend(t, s, brokertest.MakeMessages(1, 100))
	brokertest.Check(t, r.DeleteExchange(place2))
	brokertest.UntilHalt(t, s, brokertest.MakeMessages(101, 200))
}
