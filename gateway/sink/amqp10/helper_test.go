package amqp10

import (
	"fmt"
	"testing"
	"time"

	"latchkey/gateway/access/sinks"
	"latchkey/gateway/sink/brokertest"
)

var useRabbit, stopRabbit = brokertest.Shared()

func TestMain(m *testing.M) { brokertest.Main(m, stopRabbit) }

// makeQueue makes a queue of the test's own.
func makeQueue(t *testing.T, r *brokertest.Rabbit, most int) (name string) {
	t.Helper()
	name = fmt.Sprintf("latchkey-%d", time.Now().UnixNano())
	brokertest.Check(t, r.DeclareQueue(name, most))
	return name
}

// openSender returns a sender to a queue that ends with the test.
func openSender(t *testing.T, r *brokertest.Rabbit, queue string, changes ...func(*sinks.Sink)) *Sender {
	t.Helper()
	k := sinks.Sink{Name: "test", Protocol: sinks.AMQP10, Endpoint: r.Endpoint(), Place: "/amq/queue/" + queue}
	for _, change := range changes {
		change(&k)
	}
	s := New(k)
	t.Cleanup(func() { brokertest.Check(t, s.Close()) })
	return s
}
