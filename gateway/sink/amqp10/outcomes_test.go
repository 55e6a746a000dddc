package amqp10

import (
	"context"
	"errors"
	"testing"

	"latchkey/gateway/access/sinks"
	"latchkey/gateway/sink/brokertest"
	"latchkey/gateway/sink/sender"
	"latchkey/gateway/sink/sinktest"
)

func openPeer(t *testing.T, p *brokertest.Peer, address string) *Sender {
	t.Helper()
	s := New(sinks.Sink{Name: "test", Protocol: sinks.AMQP10, Endpoint: p.Endpoint, Place: address})
	t.Cleanup(func() { brokertest.Check(t, s.Close()) })
	return s
}

func TestOutcomes(t *testing.T) {
	for _, tt := range []struct {
		address             string
		temporary, refusals int
	}{
		{"accepted", 0, 0},
		{"released", 2, 0},
		{"modified", 2, 0},
		{"full", 2, 0},
		{"detached", 1, 0},
		{"rejected", 0, 1},
	} {
		t.Run(tt.address, func(t *testing.T) {
			p := brokertest.StartPeer(t, "peer")
			s := openPeer(t, p, tt.address)
			all := sinktest.Make(1, 20)
			temporary, refusals := 0, 0
			for at := 0; at < len(all) && temporary < 10; {
				n, err := s.Send(context.Background(), all[at:])
				at += n
				var refusal *sender.Refusal
				switch {
				case errors.As(err, &refusal):
					t.Log(err)
					refusals++
					all = append(all[:at:at], all[at+1:]...)
				case sender.IsPermanent(err):
					t.Fatal(err)
				case err != nil:
					t.Log(err)
					temporary++
				}
			}
			if temporary != tt.temporary || refusals != tt.refusals {
				t.Errorf("got %d temporary failures and %d refusals, want %d and %d", temporary, refusals, tt.temporary,
					tt.refusals)
			}
			got, err := p.Accepted()
			brokertest.Check(t, err)
			seen := map[string]bool{}
			for _, d := range got {
				seen[d.ID] = true
			}
			for _, m := range all {
				if !seen[m.ID] {
					t.Errorf("message %s is lost", m.ID)
				}
			}
			if len(got) != len(all) {
				t.Errorf("got %d messages, want %d, each once", len(got), len(all))
			}
		})
	}
}

func TestAddressesThatKeepNothing(t *testing.T) {
	p := brokertest.StartPeer(t, "ActiveMQ")
	brokertest.MustHalt(t, openPeer(t, p, "unauthorized"), sinktest.Make(1, 3))
	brokertest.MustHalt(t, openPeer(t, p, "missing"), sinktest.Make(1, 3))
	brokertest.MustHalt(t, openPeer(t, p, "topic://latchkey"), sinktest.Make(1, 3))
	brokertest.MustSend(t, openPeer(t, p, "queue://latchkey"), sinktest.Make(1, 3))
	got, err := p.Accepted()
	brokertest.Check(t, err)
	if twice := brokertest.CheckAll(t, got, 3); twice > 0 {
		t.Errorf("%d messages came twice", twice)
	}

	p = brokertest.StartPeer(t, "RabbitMQ") // of a version that is too old
	brokertest.MustHalt(t, openPeer(t, p, "/exchange/latchkey"), sinktest.Make(1, 3))
}
