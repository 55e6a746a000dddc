// Package amqp10 sends events by AMQP 1.0. A message counts as taken when the server has accepted
// it, and only at an address where accepted means that it is kept:
//
//	RabbitMQ 4        /queues/NAME, or /exchanges/NAME/KEY: what no queue gets is released
//	RabbitMQ 3        /amq/queue/NAME only. It also accepts what no queue gets, so the user must be
//	                  allowed to read the queue, by which we know that it is there
//	ActiveMQ          queue://NAME. It accepts and drops what is sent to a topic without subscribers
//	ActiveMQ Artemis  an anycast address; a multicast address without queues accepts and drops
//
// What is refused is said when the sink connects. Of Artemis' addresses the package cannot know.
package amqp10

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	amqp "github.com/Azure/go-amqp"

	"latchkey/gateway/access/sinks"
	"latchkey/gateway/sink/flight"
	"latchkey/gateway/sink/sender"
)

// patience bounds one Send.
const patience = 30 * time.Second

// Sender is the [sender.Sender] for AMQP 1.0.
type Sender struct {
	// Silence is how long the server may say nothing. Then the connection is given up.
	Silence time.Duration

	sink   sinks.Sink
	link   *link // nil: not connected
	flight flight.Flight

	// accepted are the messages that RabbitMQ 3 has accepted, while it did not say yet whether their
	// queue is there.
	accepted map[string]bool
}

// New returns a sender for a sink. It connects with the first Send.
func New(s sinks.Sink) *Sender { return &Sender{sink: s, Silence: 20 * time.Second} }

// Send implements [sender.Sender].
func (s *Sender) Send(ctx context.Context, batch []sender.Message) (taken int, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if s.link == nil {
		if s.link, err = connect(ctx, s.sink, s.Silence); err != nil {
			return 0, err
		}
	}
	before := 0 // connect has asked for the queue of these
	for before < len(batch) && s.accepted[batch[before].ID] {
		before++
	}
	taken, err = s.flight.Send(ctx, s.link, batch[before:])
	taken, err = s.checkTaken(ctx, batch[:before+taken], err)
	if s.link.lost {
		s.drop()
	}
	return taken, err
}

// checkTaken makes sure that the queue of the messages that were accepted is there.
func (s *Sender) checkTaken(ctx context.Context, accepted []sender.Message, err error) (int, error) {
	if len(accepted) == 0 {
		return 0, err
	}
	var halt *sender.Halt
	switch gone := s.link.checkQueue(ctx); {
	case gone == nil:
		s.accepted = nil
		return len(accepted), err
	case errors.As(gone, &halt): // what was accepted is nowhere
		s.accepted, s.flight = nil, flight.Flight{}
		return 0, gone
	default:
		s.accepted = map[string]bool{}
		for _, m := range accepted {
			s.accepted[m.ID] = true
		}
		return 0, cmp.Or(err, gone)
	}
}

// drop forgets the connection.
func (s *Sender) drop() {
	s.link.close()
	s.link = nil
	s.flight.Reset()
}

// Close implements [sender.Sender].
func (s *Sender) Close() error {
	if s.link != nil {
		s.drop()
	}
	return nil
}

// pending is a message that was sent. It implements [flight.Pending].
type pending struct {
	link    *link
	receipt amqp.SendReceipt
	settled bool
	err     error // of a settled message; nil: taken
}

// Wait implements [flight.Pending].
func (p *pending) Wait(ctx context.Context) (settled bool, err error) {
	if p.settled {
		return true, p.err
	}
	state, err := p.receipt.Wait(ctx)
	switch {
	case err != nil && ctx.Err() != nil:
		return false, fmt.Errorf("the server has not accepted: %w", ctx.Err())
	case err != nil:
		return false, p.link.fail(err)
	}
	p.settled, p.err = true, p.link.judge(state)
	return true, p.err
}

// judge returns what an outcome means (AMQP 1.0, section 3.4).
func (l *link) judge(state amqp.DeliveryState) error {
	switch s := state.(type) {
	case *amqp.StateAccepted:
		return nil
	case *amqp.StateReleased, *amqp.StateModified:
		return errors.New("the server gave the message back: no queue takes it for now")
	case *amqp.StateRejected:
		// RabbitMQ does not look into messages: it rejects what a queue has no room for.
		if l.isRabbit() || s.Error != nil && s.Error.Condition == amqp.ErrCondResourceLimitExceeded {
			return errors.New("the server rejected the message for now: a queue is full")
		}
		if s.Error == nil {
			return &sender.Refusal{Why: "the server rejected the message and said nothing"}
		}
		return &sender.Refusal{Why: "the server rejected the message: " + describe(s.Error)}
	}
	return fmt.Errorf("the server gave an outcome that is none: %T", state)
}
