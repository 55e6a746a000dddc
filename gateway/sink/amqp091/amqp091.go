// Package amqp091 sends events by AMQP 0-9-1, as RabbitMQ speaks it. A message counts as taken when
// the server has confirmed it and has not returned it.
package amqp091

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"latchkey/gateway/access/sinks"
	"latchkey/gateway/sink/flight"
	"latchkey/gateway/sink/sender"
)

// patience bounds one Send.
const patience = 30 * time.Second

// maxReturns is how often a message may come back before it is given up.
const maxReturns = 3

// Sender is the [sender.Sender] for AMQP 0-9-1.
type Sender struct {
	// Silence is how long the server may say nothing, in steps of 1.5 s. Then the connection is
	// given up.
	Silence time.Duration

	sink   sinks.Sink
	link   *link // nil: not connected
	flight flight.Flight

	// returned is the message that came back last, and how often it did.
	returned struct {
		id    string
		times int
	}
}

// New returns a sender for a sink. It connects with the first Send.
func New(s sinks.Sink) *Sender { return &Sender{sink: s, Silence: 15 * time.Second} }

// Key returns the routing key of a message: latchkey.SITE.KIND.TARGET, with - for no target, so
// that a key always has four words.
func Key(m sender.Message) string {
	return "latchkey." + m.Site + "." + m.Kind + "." + cmp.Or(m.Target, "-")
}

// Send implements [sender.Sender].
func (s *Sender) Send(ctx context.Context, batch []sender.Message) (taken int, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if s.link == nil {
		if s.link, err = connect(ctx, s.sink, s.Silence); err != nil {
			return 0, err
		}
	}
	taken, err = s.flight.Send(ctx, s.link, batch)
	if s.link.isLost() {
		if why := s.link.explain(); why != nil {
			err = why
		}
		s.drop()
	}
	if taken == len(batch) {
		return taken, nil
	}
	return taken, s.countReturn(batch[taken], err)
}

// countReturn makes a refusal of the error of a message that came back too often.
func (s *Sender) countReturn(m sender.Message, err error) error {
	var back *returnedError
	if !errors.As(err, &back) {
		return err
	}
	if s.returned.id != m.ID {
		s.returned.id, s.returned.times = m.ID, 0
	}
	if s.returned.times++; s.returned.times < maxReturns {
		return err
	}
	return &sender.Refusal{Why: err.Error()}
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

// returnedError says that no queue gets messages with this key.
type returnedError struct{ key, exchange string }

func (e *returnedError) Error() string {
	return fmt.Sprintf("the server returned the message: no queue is bound to the exchange %s for the key %s: "+
		"bind one, or send fewer kinds of events", e.exchange, e.key)
}

// pending is a message that was published. It implements [flight.Pending].
type pending struct {
	link *link
	id   string
	key  string
	done *amqp.DeferredConfirmation

	judged, returned bool // returned is known once judged
}

// Wait implements [flight.Pending].
func (p *pending) Wait(ctx context.Context) (settled bool, err error) {
	for {
		blocked, changed := p.link.readBlocked()
		select {
		case <-p.done.Done():
			return p.judge()
		default:
		}
		if blocked != "" {
			return false, fmt.Errorf("the server takes nothing for now: %s", blocked)
		}
		select {
		case <-p.done.Done():
		case <-changed:
		case <-ctx.Done():
			return false, fmt.Errorf("the server has not confirmed: %w", ctx.Err())
		}
	}
}

func (p *pending) judge() (settled bool, err error) {
	if !p.judged {
		p.judged, p.returned = true, p.link.takeReturned(p.id)
	}
	switch {
	case p.returned:
		return true, &returnedError{p.key, p.link.exchange}
	case p.done.Acked():
		return true, nil
	case p.link.isLost(): // the library reports messages that are lost like those refused
		return false, errors.New("the connection ended before the server confirmed")
	}
	return true, errors.New("the server refused the message for now: a queue is full, or could not store it")
}
