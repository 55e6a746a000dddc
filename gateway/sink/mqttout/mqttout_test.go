package mqttout

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"latchkey/gateway/access/sinks"
	"latchkey/gateway/endpoint"
	"latchkey/gateway/endpoint/badnet"
	"latchkey/gateway/mqtt/mosquitto"
	"latchkey/gateway/sink/sender"
	"latchkey/gateway/sink/sinktest"
	"latchkey/keys"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const acl = `user latchkey
topic write latchkey/+/event/#
user reader
topic read latchkey/#
`

// newSender makes a sender that is closed when the test ends.
func newSender(t testing.TB, e endpoint.Endpoint, place string) sender.Sender {
	t.Helper()
	s, err := New(sinks.Sink{ID: "a1b2c3d4e5", Endpoint: e, Place: place})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// feed sends n events through cuts, delays, silence and restarts of the broker, and checks what a
// client with a lasting session receives.
func feed(t *testing.T, n int) {
	b := mosquitto.Start(t, mosquitto.Options{TLS: true, ACL: acl, Persistent: true})
	proxy := badnet.Start(t, b.Addr())
	reader := b.Subscribe("reader", "%t %p", "latchkey/#")
	s := newSender(t, b.EndpointAt(proxy.Addr(), "latchkey"), "")
	start := time.Now()
	sinktest.Feed(t, s, n, proxy.Faults(n/100, b.Stop, b.Restart))
	t.Logf("%d events in %v", n, time.Since(start).Round(time.Millisecond))
	var r sinktest.Receipt
	for r.Last() < n {
		line := reader.Next()
		topic, body, _ := strings.Cut(line, " ")
		var event struct{ ID, Type string }
		if err := json.Unmarshal([]byte(body), &event); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		kind := strings.TrimSuffix(strings.TrimPrefix(event.Type, "io.latchkey."), ".v1")
		if want := "latchkey/" + sinktest.Site + "/event/" + kind; topic != want {
			t.Fatalf("topic %s, want %s", topic, want)
		}
		if err := r.Add(event.ID); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d repeats", r.Repeats)
}

func TestNothingIsLostThroughFaults(t *testing.T) { feed(t, 4000) }

// TestTheFormOnTheWire has what another client sees of an event.
func TestTheFormOnTheWire(t *testing.T) {
	b := mosquitto.Start(t, mosquitto.Options{ACL: acl,
		Users: map[string]string{"latchkey": "secret", "reader": "x"}})
	reader := b.Subscribe("reader", "%t|%q|%r|%C|%p", "latchkey/#")
	s := newSender(t, b.Endpoint("latchkey"), "")
	messages := sinktest.Make(1, 1)
	sinktest.Deliver(t, s, messages)
	want := "latchkey/" + sinktest.Site + "/event/receipt|1|0|application/cloudevents+json|" +
		string(messages[0].Body)
	if got := reader.Next(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if taken, err := s.Send(t.Context(), nil); taken != 0 || err != nil {
		t.Errorf("an empty batch: got %d, %v", taken, err)
	}
}

// TestWhatIsForGood tells apart what pauses a sink, and what makes a dead letter.
func TestWhatIsForGood(t *testing.T) {
	b := mosquitto.Start(t, mosquitto.Options{TLS: true, ACL: acl})
	small := mosquitto.Start(t, mosquitto.Options{Lines: "max_packet_size 400"})
	users := mosquitto.Start(t, mosquitto.Options{Users: map[string]string{"latchkey": "secret"}})
	wrong := users.Endpoint("latchkey")
	wrong.Password = keys.Hide("other")
	without := b.Endpoint("latchkey")
	without.Cert, without.Key = "", keys.Hidden{}
	three, long := sinktest.Make(1, 3), sinktest.Make(1, 3)
	long[1].Body = append(long[1].Body, strings.Repeat(" ", 1000)...)
	for name, try := range map[string]struct {
		endpoint endpoint.Endpoint
		place    string
		batch    []sender.Message
		taken    int
		halt     bool
		want     string
	}{
		"no right to the topic": {b.Endpoint("latchkey"), "other", three, 0, true, "not authorized"},
		"no rights at all":      {b.Endpoint("reader"), "", three, 0, true, "not authorized"},
		"wrong password":        {wrong, "", three, 0, true, "authorized"},
		"no certificate":        {without, "", three, 0, true, "certificate"},
		"an event is too large": {small.Endpoint(""), "", long, 1, false, "too large"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSender(t, try.endpoint, try.place)
			// The end of a connection may arrive before the reason does, which is not for good.
			var taken int
			var err error
			for deadline := time.Now().Add(sinktest.Within); time.Now().Before(deadline); {
				if taken, err = s.Send(t.Context(), try.batch); sender.IsPermanent(err) {
					break
				}
			}
			var halt *sender.Halt
			if taken != try.taken || errors.As(err, &halt) != try.halt ||
				!strings.Contains(err.Error(), try.want) {
				t.Errorf("got %d, %v (halt: %v), want %d, %q", taken, err, halt != nil, try.taken, try.want)
			}
		})
	}
}

// TestRevokedRightsStopInOrder takes the right to one kind of event away.
func TestRevokedRightsStopInOrder(t *testing.T) {
	b := mosquitto.Start(t, mosquitto.Options{TLS: true, ACL: acl})
	s := newSender(t, b.Endpoint("latchkey"), "")
	sinktest.Deliver(t, s, sinktest.Make(1, 30))
	b.SetACL(strings.Replace(acl, "latchkey/+/event/#", "latchkey/+/event/decision", 1))
	b.Restart()
	reader := b.Subscribe("reader", "%p", "latchkey/#")
	var taken int
	var err error
	for err == nil || !sender.IsPermanent(err) {
		taken, err = s.Send(t.Context(), sinktest.Make(33, 60)) // 33 is a decision
	}
	var halt *sender.Halt
	if taken != 1 || !errors.As(err, &halt) {
		t.Errorf("got %d, %v, want one and a halt", taken, err)
	}
	b.Publish("latchkey", "latchkey/x/event/decision", "last")
	if one, two := reader.Next(), reader.Next(); !strings.Contains(one, `"1.33"`) || two != "last" {
		t.Errorf("got %s and %s, want event 33 alone", one, two)
	}
}

func TestSendEndsWithItsContext(t *testing.T) {
	b := mosquitto.Start(t, mosquitto.Options{})
	proxy := badnet.Start(t, b.Addr())
	s := newSender(t, b.EndpointAt(proxy.Addr(), ""), "")
	sinktest.Deliver(t, s, sinktest.Make(1, 3))
	proxy.Freeze()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	big := sinktest.Make(4, 100)
	for i := range big {
		big[i].Body = append(big[i].Body, make([]byte, 200<<10)...) // more than the sockets hold
	}
	if taken, err := s.Send(ctx, big); taken != 0 || err == nil || sender.IsPermanent(err) {
		t.Errorf("got %d, %v, want a failure that is not for good", taken, err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	proxy.Cut()
	proxy.Thaw()
	sinktest.Deliver(t, s, sinktest.Make(4, 6))
}

func TestAPlaceIsTheBeginningOfATopic(t *testing.T) {
	for place, want := range map[string]bool{"": true, "home": true, "home/doors": true, "a+b": false,
		"#": false, "$SYS": false} {
		if _, err := New(sinks.Sink{Place: place}); (err == nil) != want {
			t.Errorf("%q: got %v, want taken: %v", place, err, want)
		}
	}
}

// TestASinkIsTestedWhileItSends has two senders of one sink.
func TestASinkIsTestedWhileItSends(t *testing.T) {
	b := mosquitto.Start(t, mosquitto.Options{})
	one, two := newSender(t, b.Endpoint(""), ""), newSender(t, b.Endpoint(""), "")
	for seq := range 3 {
		for _, s := range []sender.Sender{one, two} {
			if taken, err := s.Send(t.Context(), sinktest.Make(seq+1, seq+1)); taken != 1 || err != nil {
				t.Fatalf("got %d, %v", taken, err)
			}
		}
	}
}

// BenchmarkSend has TLS, on loopback. An event goes out before the one before is acknowledged.
func BenchmarkSend(b *testing.B) {
	broker := mosquitto.Start(b, mosquitto.Options{TLS: true, ACL: acl})
	s := newSender(b, broker.Endpoint("latchkey"), "")
	batch := sinktest.Make(1, 100)
	b.ReportAllocs()
	for b.Loop() {
		sinktest.Deliver(b, s, batch)
	}
	b.ReportMetric(float64(len(batch)*b.N)/b.Elapsed().Seconds(), "events/s")
}
