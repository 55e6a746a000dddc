package brokertest_test

import (
	"cmp"
	"flag"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/gateway/access/sinks"
	"latchkey/gateway/endpoint/badnet"
	"latchkey/gateway/sink/amqp091"
	"latchkey/gateway/sink/amqp10"
	"latchkey/gateway/sink/brokertest"
	"latchkey/gateway/sink/sender"
	"latchkey/keys"
)

var useRabbit, stopRabbit = brokertest.Shared()

func TestMain(m *testing.M) {
	_ = flag.Set("test.parallel", "30") // they wait more than they work
	brokertest.Main(m, stopRabbit)
}

// protocol is one of two, with what differs between them.
type protocol struct {
	sinks.Protocol
	address string // before the name of a place
	writes  string // pattern of what a user needs the right to write to
	new     func(sinks.Sink, time.Duration) sender.Sender
}

var protocol091 = protocol{sinks.AMQP091, "", "^latchkey-",
	func(k sinks.Sink, silence time.Duration) sender.Sender {
		s := amqp091.New(k)
		s.Silence = cmp.Or(silence, s.Silence)
		return s
	}}

var protocol10 = protocol{sinks.AMQP10, "/amq/queue/", "^amq.default$",
	func(k sinks.Sink, silence time.Duration) sender.Sender {
		s := amqp10.New(k)
		s.Silence = cmp.Or(silence, s.Silence)
		return s
	}}

// onBoth runs a test with each protocol, beside others.
func onBoth(t *testing.T, test func(*testing.T, *brokertest.Rabbit, protocol)) {
	t.Helper()
	t.Parallel()
	r := useRabbit(t)
	for _, p := range []protocol{protocol091, protocol10} {
		t.Run(string(p.Protocol), func(t *testing.T) {
			t.Parallel()
			test(t, r, p)
		})
	}
}

var places atomic.Int64

// makePlace makes an exchange of the test's own, and a queue with the same name that gets all
// messages. With most > 0 the queue holds so many.
func makePlace(t *testing.T, r *brokertest.Rabbit, most int) (name string) {
	t.Helper()
	name = fmt.Sprintf("latchkey-%d", places.Add(1))
	brokertest.Check(t, r.DeclareExchange(name))
	brokertest.Check(t, r.DeclareQueue(name, most))
	brokertest.Check(t, r.Bind(name, name, "#"))
	return name
}

type change = func(*sinks.Sink)

// openSender returns a sender to a place that ends with the test.
func openSender(t *testing.T, r *brokertest.Rabbit, p protocol, place string,
	changes ...change) sender.Sender {
	t.Helper()
	return openImpatient(t, r, p, place, 0, changes...)
}

// openImpatient returns a sender that gives up a server that is silent for so long.
func openImpatient(t *testing.T, r *brokertest.Rabbit, p protocol, place string, silence time.Duration,
	changes ...change) sender.Sender {
	t.Helper()
	k := sinks.Sink{Name: "test", Protocol: p.Protocol, Endpoint: r.Endpoint(), Place: p.address + place}
	for _, change := range changes {
		change(&k)
	}
	s := p.new(k, silence)
	t.Cleanup(func() { brokertest.Check(t, s.Close()) })
	return s
}

// through makes the connections of a sender go through a proxy.
func through(way *badnet.Proxy) change {
	return func(k *sinks.Sink) { k.Endpoint.URL = "amqp://" + way.Addr() }
}

// as makes a sender sign in as a user.
func as(user, password string) change {
	return func(k *sinks.Sink) { k.Endpoint.User, k.Endpoint.Password = user, keys.Hide(password) }
}

// withTLS makes a sender use TLS, and sign in with a client certificate.
func withTLS(r *brokertest.Rabbit, cert, key string) change {
	return func(k *sinks.Sink) {
		k.Endpoint.URL, k.Endpoint.CA, k.Endpoint.User = "amqps://127.0.0.1:"+r.TLSPort, r.CA.PEM, ""
		k.Endpoint.Cert, k.Endpoint.Key = cert, keys.Hide(key)
	}
}
