package brokertest_test

import (
	"testing"

	"latchkey/gateway/sink/brokertest"
	"latchkey/gateway/sink/sinktest"
)

func TestRemovedQueueTakesNothing(t *testing.T) {
	r := useRabbit(t)
	place := makePlace(t, r, 0)
	s := openSender(t, r, protocol10, place)
	brokertest.MustSend(t, s, sinktest.Make(1, 100))
	brokertest.Check(t, r.DeleteQueue(place))
	brokertest.MustHalt(t, s, sinktest.Make(101, 103)) // RabbitMQ 3 has accepted the messages
	brokertest.Check(t, r.DeclareQueue(place, 0))
	brokertest.MustSend(t, s, sinktest.Make(101, 103))
	if n, err := r.Count(place); n != 3 || err != nil {
		t.Errorf("got %d messages, %v", n, err)
	}
}
