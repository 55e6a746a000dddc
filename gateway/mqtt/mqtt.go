// Package mqtt holds a connection to somebody else's MQTT 5 broker: TLS and client certificates,
// will, subscriptions, acknowledged messages. It keeps nothing while there is no connection, and it
// knows neither events nor policy.
//
// [Open] opens one connection. [Client] opens the next one when it ends.
package mqtt

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"latchkey/gateway/endpoint"
)

// MaxPacket is how many bytes of a packet we take. The server is told and drops what is larger.
const MaxPacket = 64 << 10

const (
	maxReceived = 64 // messages that the server may send before we have acknowledged them
	maxWaiting  = 64 // messages that wait for Settings.Message
	maxTopic    = 1024
)

// DefaultKeepAlive is how long a connection may be silent before we ask whether the server is there.
const DefaultKeepAlive = 30 * time.Second

// Schemes are those that the URL of a broker may have.
var Schemes = []string{"mqtts", "mqtt"}

// Settings say what to connect to, and what to do with what comes. Functions may be nil.
type Settings struct {
	Endpoint endpoint.Endpoint
	// ClientID is who we are to the server. It stays the same, so that a new connection ends the
	// old one there, with its will, before it does anything.
	ClientID      string
	Will          *Will
	Subscriptions []Subscription
	KeepAlive     time.Duration // whole seconds; 0: DefaultKeepAlive
	// Up is called when a connection is there and its subscriptions hold, in a goroutine of its
	// own. It publishes by the connection that it gets: if that one has ended, so have its
	// messages. Its context ends with the connection, and the next one waits until it has returned.
	Up func(ctx context.Context, c *Conn)
	// Message gets the messages one by one. If it is too slow, messages are dropped and counted;
	// the connection never waits for it.
	Message func(Message)
}

// Will is a message that the server sends, retained, when the connection ends, however it ends.
type Will struct {
	Topic   string
	Payload []byte
}

// Subscription asks for the messages of a topic filter.
type Subscription struct {
	Topic string
	// Retained asks for what is retained at the time of the subscription, too.
	Retained bool
}

// Message is a message from the server. Whoever gets it owns it.
type Message struct {
	Topic   string
	Payload []byte
	// Retained says that it was published to be kept. It may be old, and it may come again.
	Retained  bool
	Duplicate bool      // the server may have sent it before
	At        time.Time // when it arrived here
}

// Publication is a message to the server. It is sent with QoS 1.
type Publication struct {
	Topic       string
	Payload     []byte
	Retained    bool
	Expiry      time.Duration // rounded up to seconds; 0: the server delivers it however late it is
	ContentType string
}

func (s *Settings) check() error {
	if err := s.Endpoint.Check(Schemes...); err != nil {
		return fmt.Errorf("mqtt: %w", err)
	}
	switch {
	case s.ClientID == "" || len(s.ClientID) > 128 || !utf8.ValidString(s.ClientID):
		return errors.New("mqtt: the client id has 1 to 128 bytes")
	case s.KeepAlive < 0 || s.KeepAlive > time.Hour || s.KeepAlive%time.Second != 0:
		return errors.New("mqtt: the keepalive is whole seconds, at most an hour")
	}
	if s.Will != nil {
		if err := checkTopic(s.Will.Topic); err != nil {
			return err
		}
	}
	return nil
}

// checkTopic admits a topic that a message can be published to (MQTT 5, section 4.7).
func checkTopic(topic string) error {
	if topic == "" || len(topic) > maxTopic || !utf8.ValidString(topic) ||
		strings.ContainsAny(topic, "+#\x00") {
		return fmt.Errorf("mqtt: %q is no topic for a message", topic)
	}
	return nil
}
