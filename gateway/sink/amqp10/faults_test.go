package amqp10

import (
	"context"
	"errors"
	"testing"
	"time"

	"latchkey/gateway/access/sinks"
	"latchkey/gateway/endpoint/badnet"
	"latchkey/gateway/sink/brokertest"
	"latchkey/gateway/sink/flight"
	"latchkey/gateway/sink/sender"
	"latchkey/gateway/sink/sinktest"
	"latchkey/keys"
)

// openProxied returns a sender whose connections go through a proxy.
func openProxied(t *testing.T, r *brokertest.Rabbit, queue string) (*Sender, *badnet.Proxy) {
	t.Helper()
	p := badnet.Start(t, "127.0.0.1:"+r.Port)
	return openSender(t, r, queue, func(k *sinks.Sink) { k.Endpoint.URL = "amqp://" + p.Addr() }), p
}

func TestFaults(t *testing.T) { testFaults(t, 3000) }

func testFaults(t *testing.T, n int) {
	r := useRabbit(t)
	queue := makeQueue(t, r, 0)
	s, p := openProxied(t, r, queue)
	brokertest.RunFaults(t, s, n, r.Faults(p)...)
	got, err := r.Read(queue)
	brokertest.Check(t, err)
	if twice := brokertest.CheckAll(t, got, n); twice > 4*flight.Most {
		t.Errorf("%d messages came twice, want at most those on their way at four cuts", twice)
	}
}

func TestFrozenNetwork(t *testing.T) {
	r := useRabbit(t)
	queue := makeQueue(t, r, 0)
	s, p := openProxied(t, r, queue)
	brokertest.MustSend(t, s, sinktest.Make(1, 100))

	// A Send that gets no answer ends with its context, and keeps the connection.
	p.Freeze()
	err := brokertest.MustWait(t, s, 300*time.Millisecond, sinktest.Make(101, 200))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	p.Thaw()
	brokertest.MustSend(t, s, sinktest.Make(101, 200))
	r.CheckOnce(t, queue, 200)

	// A connection that stays silent is given up, and so is one that does not begin.
	brokertest.Check(t, s.Close())
	s.silent = 3 * time.Second
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

	// A write that nobody reads ends with the context as well, also if it has no deadline.
	p.Freeze()
	large := sinktest.Make(401, 500)
	for i := range large {
		large[i].Body = make([]byte, 200<<10)
	}
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(time.Second, cancel)
	if n, err := s.Send(ctx, large); n != 0 || err == nil || sender.IsPermanent(err) {
		t.Fatalf("got %d taken and %v, want none in time", n, err)
	}
	p.Thaw()
	sinktest.Deliver(t, s, large)
}

func TestRevokedRights(t *testing.T) {
	r := useRabbit(t)
	queue := makeQueue(t, r, 0)
	brokertest.Check(t, r.AddUser("revoked", "guest", "^amq.default$"))
	s := openSender(t, r, queue, func(k *sinks.Sink) { k.Endpoint.User = "revoked" })
	brokertest.MustSend(t, s, sinktest.Make(1, 100))
	brokertest.Check(t, r.Control("set_permissions", "revoked", "", "^nothing$", ".*"))
	// RabbitMQ remembers the rights of a channel for as long as the channel is busy.
	brokertest.Check(t, r.Control("close_all_connections", "test"))
	brokertest.UntilHalt(t, s, sinktest.Make(101, 200))
	brokertest.Check(t, r.AddUser("again", "guest", "^amq.default$"))
	s = openSender(t, r, queue, func(k *sinks.Sink) {
		k.Endpoint.User, k.Endpoint.Password = "again", keys.Hide("guest")
	})
	brokertest.MustSend(t, s, sinktest.Make(101, 200))
	r.CheckOnce(t, queue, 200)
}
