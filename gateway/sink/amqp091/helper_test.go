package amqp091

import (
	"fmt"
	"testing"
	"time"

	"latchkey/gateway/access/sinks"
	"latchkey/gateway/sink/brokertest"
)

var useRabbit, stopRabbit = brokertest.Shared()

func TestMain(m *testing.M) { brokertest.Main(m, stopRabbit) }

// makePlace makes an exchange of the test's own, and a queue with the same name that gets all
// messages.
func makePlace(t *testing.T, r *brokertest.Rabbit, most int) (name string) {
	t.Helper()
	name = fmt.Sprintf("latchkey-%d", time.Now().UnixNano())
	brokertest.Check(t, r.DeclareExchange(name))
	brokertest.Check(t, r.DeclareQueue(name, most))
	brokertest.Check(t, r.Bind(name, name, "#"))
	return name
}

// openSender returns a sender to an exchange that ends with the test.
func openSender(t *testing.T, r *brokertest.Rabbit, place string, changes ...func(*sinks.Sink)) *Sender {
	t.Helper()
	k := sinks.Sink{Name: "test", Protocol: sinks.AMQP091, Endpoint: r.Endpoint(), Place: place}
	for _, change := range changes {
		change(&k)
	}
	s := New(k)
	t.Cleanup(func() { brokertest.Check(t, s.Close()) })
	return s
}
