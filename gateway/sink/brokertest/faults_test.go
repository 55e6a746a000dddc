package brokertest_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"latchkey/gateway/endpoint/badnet"
	"latchkey/gateway/sink/brokertest"
	"latchkey/gateway/sink/flight"
	"latchkey/gateway/sink/sender"
	"latchkey/gateway/sink/sinktest"
)

func TestFaults(t *testing.T) { testFaults(t, 3000) }

func testFaults(t *testing.T, n int) {
	r := useRabbit(t)
	senders, places := map[string]sender.Sender{}, map[string]string{}
	var ways []*badnet.Proxy
	for _, p := range []protocol{protocol091, protocol10} {
		way, name := badnet.Start(t, "127.0.0.1:"+r.Port), string(p.Protocol)
		ways = append(ways, way)
		places[name] = makePlace(t, r, 0)
		senders[name] = openSender(t, r, p, places[name], through(way))
	}
	brokertest.RunFaults(t, senders, n, r.Faults(ways...)...)
	for name, place := range places {
		got, err := r.Read(place)
		brokertest.Check(t, err)
		t.Log(name)
		if twice := brokertest.CheckAll(t, got, n); twice > 4*flight.Most {
			t.Errorf("%s: %d messages came twice, want at most those on their way at four cuts", name, twice)
		}
	}
}

func TestFrozenNetwork(t *testing.T) {
	onBoth(t, func(t *testing.T, r *brokertest.Rabbit, p protocol) {
		place, way := makePlace(t, r, 0), badnet.Start(t, "127.0.0.1:"+r.Port)
		s := openSender(t, r, p, place, through(way))
		brokertest.MustSend(t, s, sinktest.Make(1, 100))

		// A Send that gets no answer ends with its context, and keeps the connection.
		way.Freeze()
		err := brokertest.MustWait(t, s, 300*time.Millisecond, sinktest.Make(101, 200))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		way.Thaw()
		brokertest.MustSend(t, s, sinktest.Make(101, 200))
		r.CheckOnce(t, place, 200)

		// A write that nobody reads ends with the context as well, also if it has no deadline.
		way.Freeze()
		large := sinktest.Make(201, 300)
		for i := range large {
			large[i].Body = make([]byte, 200<<10)
		}
		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(time.Second, cancel)
		if n, err := s.Send(ctx, large); n != 0 || err == nil || sender.IsPermanent(err) {
			t.Fatalf("got %d taken and %v, want none for now", n, err)
		}
		way.Thaw()
		sinktest.Deliver(t, s, large)
	})
}

// A connection that stays silent is given up, and so is one that does not begin.
func TestSilence(t *testing.T) {
	onBoth(t, func(t *testing.T, r *brokertest.Rabbit, p protocol) {
		place, way := makePlace(t, r, 0), badnet.Start(t, "127.0.0.1:"+r.Port)
		s := openImpatient(t, r, p, place, 3*time.Second, through(way))
		sinktest.Deliver(t, s, sinktest.Make(1, 100))
		way.Freeze()
		start := time.Now()
		err := brokertest.MustWait(t, s, time.Minute, sinktest.Make(101, 200))
		if t.Log(time.Since(start), err); errors.Is(err, context.DeadlineExceeded) {
			t.Error("a Send ended with its context: the connection was not given up")
		}
		t.Log(brokertest.MustWait(t, s, time.Second, sinktest.Make(101, 200)))
		way.Cut()
		way.Thaw()
		sinktest.Deliver(t, s, sinktest.Make(101, 200))
	})
}

func TestMemoryAlarm(t *testing.T) {
	r := useRabbit(t)
	place := makePlace(t, r, 0)
	s := openSender(t, r, protocol091, place)
	brokertest.Check(t, r.LimitMemory(0))
	defer func() { brokertest.Check(t, r.LimitMemory(0.4)) }()
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
	other := openSender(t, r, protocol091, place) // one that connects while the server takes nothing
	brokertest.MustWait(t, other, time.Minute, sinktest.Make(1, 100))
	brokertest.Check(t, other.Close())
	brokertest.Check(t, r.LimitMemory(0.4))
	sinktest.Deliver(t, s, sinktest.Make(last+1, last+100))
	got, err := r.Read(place)
	brokertest.Check(t, err)
	if twice := brokertest.CheckAll(t, got, last+100); twice > 1 { // what the other sender had on its way
		t.Errorf("%d came twice", twice)
	}
}
