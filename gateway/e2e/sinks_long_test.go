//go:build long

package e2e

import (
	"strings"
	"testing"

	"latchkey/gateway/access/sinks"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/sink/brokertest"
)

func TestSinkThatHangsForLong(t *testing.T) { sinkThatHangs(t, 1000, 64_000) }

func TestCanariesStayAwayFromRabbitMQLong(t *testing.T) {
	r := brokertest.StartRabbit(t)
	t.Cleanup(r.Stop)
	brokertest.Check(t, r.DeclareExchange("latchkey"))
	var more []moreSink
	for protocol, name := range map[sinks.Protocol]string{sinks.AMQP091: "latchkey",
		sinks.AMQP10: "/amq/queue/latchkey-10"} {
		queue := strings.TrimPrefix(name, "/amq/queue/")
		brokertest.Check(t, r.DeclareQueue(queue, 0))
		more = append(more, moreSink{NewSink: api.NewSink{Name: string(protocol), Protocol: protocol,
			Place: name, Endpoint: inRequest(r.Endpoint())},
			read: func() string {
				got, err := r.Read(queue)
				brokertest.Check(t, err)
				var all strings.Builder
				for _, d := range got {
					all.WriteString(d.ID + " " + d.Key + " " + string(d.Body) + "\n")
				}
				return all.String()
			}})
	}
	brokertest.Check(t, r.Bind("latchkey", "latchkey", "#"))
	canariesStay(t, more...)
}
