// Package mqttout sends events to an MQTT 5 broker: each one to the topic PLACE/SITE/event/KIND,
// with QoS 1 and not retained, as a CloudEvent in structured mode (CloudEvents 1.0, MQTT binding,
// section 3.2).
package mqttout

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"latchkey/gateway/access/sinks"
	"latchkey/gateway/mqtt"
	"latchkey/gateway/sink/flight"
	"latchkey/gateway/sink/sender"
)

// DefaultPlace is where topics begin if nobody says otherwise.
const DefaultPlace = "latchkey"

const contentType = "application/cloudevents+json"

// Sender sends to one broker. It holds a connection from the first message on.
type Sender struct {
	settings mqtt.Settings
	place    string
	link     *link // nil before the first message
	flight   flight.Flight
}

var _ sender.Sender = (*Sender)(nil)

// New returns the sender of a sink. Each sender is another client to the broker, which ends one of
// two connections with the same client id: a sink is tested while it sends.
func New(s sinks.Sink) (sender.Sender, error) {
	place := cmp.Or(s.Place, DefaultPlace)
	if strings.ContainsAny(place, "+#") || strings.HasPrefix(place, "$") {
		return nil, fmt.Errorf("mqttout: %q is no beginning of topics: leave out +, # and a $ in front",
			place)
	}
	id := fmt.Sprintf("latchkey-%s-%s", s.ID, rand.Text()[:8])
	return &Sender{place: place, settings: mqtt.Settings{Endpoint: s.Endpoint, ClientID: id}}, nil
}

// Send implements [sender.Sender].
func (s *Sender) Send(ctx context.Context, batch []sender.Message) (taken int, err error) {
	if s.link != nil && s.link.conn.Err() != nil {
		s.drop() // it ended while there was nothing to send
	}
	if s.link == nil {
		conn, err := mqtt.Open(ctx, s.settings)
		if err != nil {
			return 0, judge(err, false)
		}
		s.link = &link{conn: conn, place: s.place}
	}
	taken, err = s.flight.Send(ctx, s.link, batch)
	if s.link.conn.Err() != nil {
		s.drop()
	}
	return taken, err
}

// drop forgets the connection.
func (s *Sender) drop() {
	_ = s.link.conn.Close()
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

// link is a connection. It implements [flight.Link].
type link struct {
	conn  *mqtt.Conn
	place string
	out   int // messages that were sent and not settled
}

// Route implements [flight.Link]. A broker gives rights by topic.
func (l *link) Route(m sender.Message) string { return l.place + "/" + m.Site + "/event/" + m.Kind }

// Publish implements [flight.Link].
func (l *link) Publish(ctx context.Context, m sender.Message) (flight.Pending, error) {
	sent, err := l.conn.Start(ctx, mqtt.Publication{Topic: l.Route(m), Payload: m.Body,
		ContentType: contentType})
	if err != nil {
		return nil, judge(err, false)
	}
	l.out++
	return &pending{link: l, sent: sent}, nil
}

// pending is a message that was sent. It implements [flight.Pending].
type pending struct {
	link    *link
	sent    *mqtt.Sent
	settled bool
	err     error // of a settled message
}

// Wait implements [flight.Pending].
func (p *pending) Wait(ctx context.Context) (settled bool, err error) {
	if p.settled {
		return true, p.err
	}
	err = p.sent.Wait(ctx)
	if errors.Is(err, mqtt.ErrLost) {
		return false, judge(err, p.link.out == 1)
	}
	var refused *mqtt.Refusal
	if err != nil && !errors.As(err, &refused) {
		return false, err // that of ctx
	}
	p.link.out--
	p.settled, p.err = true, judge(err, true)
	return true, p.err
}

// judge makes the kind of error that the engine knows. certain says that err, if it is about a
// message, is about this one.
func judge(err error, certain bool) error {
	var r *mqtt.Refusal
	aboutMessage := errors.As(err, &r) && (r.Code == mqtt.PacketTooLarge || r.Code == mqtt.PayloadInvalid)
	switch {
	case aboutMessage && (certain || !errors.Is(err, mqtt.ErrLost)):
		return &sender.Refusal{Why: err.Error()}
	case !aboutMessage && mqtt.IsPermanent(err):
		return &sender.Halt{Why: err.Error()}
	}
	return err
}
