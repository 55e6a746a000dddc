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
	"latchkey/gateway/sink/sender"
)

// DefaultPlace is where topics begin if nobody says otherwise.
const DefaultPlace = "latchkey"

const contentType = "application/cloudevents+json"

// Sender sends to one broker. It holds a connection from the first message on.
type Sender struct {
	settings mqtt.Settings
	place    string
	conn     *mqtt.Conn // nil before the first message
	// proven are the topics of which the broker has taken a message since the last failure. The
	// first message of another topic goes alone: a broker that refuses it must not have taken those
	// behind it.
	proven map[string]bool
}

var _ sender.Sender = (*Sender)(nil)

// New returns the sender of a sink. Each sender is another client to the broker, which ends one of
// two connections with the same client id: a sink is tested while it sends.
func New(s sinks.Sink) (sender.Sender, error) {
	place := cmp.Or(s.Place, DefaultPlace)
	if strings.ContainsAny(place, "+#") || strings.HasPrefix(place, "$") {
		return nil, fmt.Errorf("mqttout: %q is no beginning of topics: leave out + and #, and a $ in front", place)
	}
	id := fmt.Sprintf("latchkey-%s-%s", s.ID, rand.Text()[:8])
	return &Sender{place: place, settings: mqtt.Settings{Endpoint: s.Endpoint, ClientID: id}}, nil
}

// Send implements [sender.Sender]. It waits for the acknowledgement of each message, but not before
// it sends the next. A broker that refuses a message for a while, although it took one of the same
// topic before, may have taken those behind it: they are sent again, in order, behind the refused
// one.
func (s *Sender) Send(ctx context.Context, batch []sender.Message) (taken int, err error) {
	if err := s.connect(ctx); err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			clear(s.proven)
		}
	}()
	var sent []*mqtt.Sent
	settle := func() error {
		alone := len(sent) == 1
		for _, one := range sent {
			if err := one.Wait(ctx); err != nil {
				return judge(err, alone)
			}
			taken++
		}
		sent = sent[:0]
		return nil
	}
	for _, m := range batch {
		topic := s.place + "/" + m.Site + "/event/" + m.Kind
		if !s.proven[topic] {
			if err := settle(); err != nil {
				return taken, err
			}
		}
		one, err := s.conn.Start(ctx, mqtt.Publication{Topic: topic, Payload: m.Body, ContentType: contentType})
		if err != nil {
			return taken, cmp.Or(settle(), judge(err, true))
		}
		sent = append(sent, one)
		if !s.proven[topic] {
			if err := settle(); err != nil {
				return taken, err
			}
			s.proven[topic] = true
		}
	}
	return taken, settle()
}

// connect opens a connection if there is none.
func (s *Sender) connect(ctx context.Context) error {
	if s.conn != nil && s.conn.Err() == nil {
		return nil
	}
	if err := s.Close(); err != nil {
		return err
	}
	conn, err := mqtt.Open(ctx, s.settings)
	if err != nil {
		return judge(err, false)
	}
	s.conn, s.proven = conn, map[string]bool{}
	return nil
}

// judge makes the kind of error that the engine knows. alone says that err can only be about one
// message.
func judge(err error, alone bool) error {
	var r *mqtt.Refusal
	aboutMessage := errors.As(err, &r) && (r.Code == mqtt.PacketTooLarge || r.Code == mqtt.PayloadInvalid)
	switch {
	case aboutMessage && (alone || !errors.Is(err, mqtt.ErrLost)):
		return &sender.Refusal{Why: err.Error()}
	case !aboutMessage && mqtt.IsPermanent(err):
		return &sender.Halt{Why: err.Error()}
	}
	return err
}

// Close implements [sender.Sender].
func (s *Sender) Close() error {
	if s.conn == nil {
		return nil
	}
	conn := s.conn
	s.conn = nil
	return conn.Close()
}
