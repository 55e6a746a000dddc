package brokertest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"latchkey/gateway/access/sinks"
	"latchkey/gateway/sink/brokertest"
	"latchkey/gateway/sink/sender"
	"latchkey/gateway/sink/sinktest"
)

func TestDeclareMakesTheExchange(t *testing.T) {
	r := useRabbit(t)
	const place = "latchkey-declared"
	s := openSender(t, r, protocol091, place, func(k *sinks.Sink) { k.Declare = true })
	brokertest.MustWait(t, s, time.Minute, sinktest.Make(1, 1)) // it is returned
	brokertest.Check(t, r.DeclareQueue(place, 0))
	brokertest.Check(t, r.Bind(place, place, "latchkey.*.*.*"))
	brokertest.MustSend(t, s, sinktest.Make(1, 1))
}

func TestMessageWithoutQueueIsRefusedThenTheRestGoes(t *testing.T) {
	r := useRabbit(t)
	const place = "latchkey-half"
	brokertest.Check(t, r.DeclareExchange(place))
	brokertest.Check(t, r.DeclareQueue(place, 0))
	for _, kind := range []string{"decision", "receipt", "report"} {
		brokertest.Check(t, r.Bind(place, place, "latchkey.*."+kind+".*"))
	}
	s := openSender(t, r, protocol091, place)
	all := sinktest.Make(1, 20)
	all[9].Kind = "start" // nothing is bound to its key
	at, tries, refused := 0, 0, 0
	for at < len(all) {
		n, err := s.Send(context.Background(), all[at:])
		at += n
		var refusal *sender.Refusal
		if errors.As(err, &refusal) {
			if t.Log(err); at != 9 || tries != 2 {
				t.Fatalf("message %d was refused after %d tries: %v", at, tries, err)
			}
			at++
			refused++
		} else if err != nil {
			if tries++; at != 9 || tries > 2 {
				t.Fatalf("message %d: %v", at, err)
			}
		}
	}
	if refused != 1 {
		t.Errorf("%d messages were refused, want the one that no queue gets", refused)
	}
	got, err := r.Read(place)
	brokertest.Check(t, err)
	if len(got) != 19 {
		t.Fatalf("got %d messages, want 19, each once", len(got))
	}
	for i, want := range append(all[:9:9], all[10:]...) {
		if got[i].ID != want.ID {
			t.Fatalf("message %d: got %s, want %s", i, got[i].ID, want.ID)
		}
	}
}

func TestLostBindingInTheMiddle(t *testing.T) {
	r := useRabbit(t)
	place := makePlace(t, r, 0)
	s := openSender(t, r, protocol091, place)
	brokertest.MustSend(t, s, sinktest.Make(1, 50))
	brokertest.Check(t, r.Unbind(place, place, "#"))
	brokertest.MustWait(t, s, time.Minute, sinktest.Make(51, 60))
	brokertest.Check(t, r.Bind(place, place, "#"))
	brokertest.MustSend(t, s, sinktest.Make(51, 60))
	r.CheckOnce(t, place, 60)
}

func TestRemovedExchange(t *testing.T) {
	r := useRabbit(t)
	place := makePlace(t, r, 0)
	s := openSender(t, r, protocol091, place)
	brokertest.MustSend(t, s, sinktest.Make(1, 100))
	brokertest.Check(t, r.DeleteExchange(place))
	brokertest.UntilHalt(t, s, sinktest.Make(101, 200))
}
