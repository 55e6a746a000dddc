package amqp10

import (
	"testing"

	"latchkey/gateway/sink/brokertest"
)

func TestMain(m *testing.M) { brokertest.Main(m) }
