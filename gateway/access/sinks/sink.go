// Package sinks is the kind of record that says where events are sent. It sends nothing; package
// sink does.
package sinks

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/access/edit"
	"latchkey/gateway/audit"
	"latchkey/gateway/endpoint"
	"latchkey/gateway/text"
	"latchkey/keys"
)

// Protocol is how a sink's server is spoken to. The zero protocol is none.
type Protocol string

const (
	Webhook Protocol = "webhook" // HTTP POST, signed as Standard Webhooks says
	AMQP091 Protocol = "amqp091" // AMQP 0-9-1, as RabbitMQ speaks it
	AMQP10  Protocol = "amqp10"  // AMQP 1.0
	NATS    Protocol = "nats"    // NATS JetStream
	MQTT    Protocol = "mqtt"    // MQTT 5
)

// Protocols are all protocols.
var Protocols = []Protocol{Webhook, AMQP091, AMQP10, NATS, MQTT}

// schemes are those that a URL may have, the usual one first.
var schemes = map[Protocol][]string{Webhook: {"https", "http"}, AMQP091: {"amqps", "amqp"},
	AMQP10: {"amqps", "amqp"}, NATS: {"tls", "nats"}, MQTT: {"mqtts", "mqtt"}}

// Sink is a place that events are sent to.
type Sink struct {
	ID       access.ID         `json:"id"`
	Name     string            `json:"name"`
	Protocol Protocol          `json:"protocol"`
	Endpoint endpoint.Endpoint `json:"endpoint"`
	// Secrets sign a webhook: whsec_ and base64. The first is the newest; there are two while the
	// receiver learns it.
	Secrets []keys.Hidden `json:"-"`
	// Place is where the server puts the events: the exchange (AMQP 0-9-1), the address (AMQP
	// 1.0), the beginning of subjects (NATS) or of topics (MQTT). Empty: latchkey.
	Place   string `json:"place,omitempty"`
	Declare bool   `json:"declare,omitempty"` // make the exchange if it is not there
	// Only are the kinds of events that are sent. Empty: all.
	Only    []audit.EventKind `json:"only,omitempty"`
	IDsOnly bool              `json:"idsOnly,omitempty"` // names of people, doors and devices are left out
	From    uint64            `json:"from"`              // the first event to send
	Paused  string            `json:"paused,omitempty"`  // why nothing is sent; empty: events are sent
	Created time.Time         `json:"created"`
}

// Wants tells whether events of that kind are sent.
func (r Sink) Wants(kind audit.EventKind) bool {
	return len(r.Only) == 0 || slices.Contains(r.Only, kind)
}

// maxSinks is how many sinks there may be. Each has a connection and reads the chain.
const maxSinks = 32

// Bounds of a sink's texts, in bytes.
const (
	maxPlace  = 200
	maxPaused = 300
	maxSecret = 200
)

// Kind is the kind of [Sink].
var Kind = &access.Kind[access.ID, Sink]{
	Name:   "sink",
	ID:     func(r Sink) access.ID { return r.ID },
	Order:  cmp.Compare[access.ID],
	Blank:  func(id access.ID) Sink { return Sink{ID: id} },
	NameOf: func(r Sink) string { return r.Name },

	Normal: func(_ *access.Draft, r Sink) (Sink, error) {
		r.Secrets, r.Only = slices.Clone(r.Secrets), edit.NormalizeList(r.Only)
		r.Created = edit.NormalizeTime(r.Created)
		return r, nil
	},
	Leaf:  true,
	Check: checkSink,
	CheckAll: func(d *access.Draft, e *access.Edit[access.ID, Sink]) error {
		if n := len(e.All()); n > maxSinks {
			newest, _ := e.After(e.Touched[len(e.Touched)-1])
			return d.Invalid(newest, "there would be %d sinks: want %d at most", n, maxSinks)
		}
		return nil
	},

	Label: func(n access.Namer, r Sink) string { return "sink " + n.NameOr(r.Name, r.ID) },
	Details: func(_ access.Namer, r Sink) string {
		return ", " + text.Quote(string(r.Protocol)) + " to " + r.Endpoint.HostPort()
	},
	Difference: describeDifference,
	Restricted: func(before, after Sink) Sink {
		before.Paused = cmp.Or(after.Paused,
			"paused")
		return before
	},
}

func checkSink(_ *access.Draft, r Sink) error {
	if !slices.Contains(Protocols, r.Protocol) {
		return fmt.Errorf("protocol %q: want webhook, amqp091, amqp10, nats or mqtt", string(r.Protocol))
	}
	for _, kind := range r.Only {
		if !slices.Contains(audit.EventKinds, kind) {
			return fmt.Errorf("there is no kind of event %q", text.Shorten(string(kind)))
		}
	}
	switch {
	case r.Protocol == Webhook && (len(r.Secrets) < 1 || len(r.Secrets) > 2):
		return errors.New("a webhook has one secret, or two while the receiver learns the new one")
	case r.Protocol != Webhook && len(r.Secrets) > 0:
		return errors.New("only a webhook has a secret of its own: give a password instead")
	case len(r.Place) > maxPlace || r.Place != "" && !text.IsPrintable(r.Place):
		return fmt.Errorf("the place has %d bytes: want printable text of up to %d", len(r.Place), maxPlace)
	case len(r.Paused) > maxPaused:
		return fmt.Errorf("the reason of the pause has more than %d bytes", maxPaused)
	case r.Declare && r.Protocol != AMQP091:
		return errors.New("only an exchange of AMQP 0-9-1 can be declared")
	case r.From == 0:
		return errors.New("it does not say with which event it begins")
	}
	for _, s := range r.Secrets {
		if s.IsZero() || len(s.Reveal()) > maxSecret {
			return fmt.Errorf("a secret: want 1 to %d bytes", maxSecret)
		}
	}
	return cmp.Or(access.CheckID(r.ID), text.CheckHandle(r.Name), r.Endpoint.Check(schemes[r.Protocol]...))
}

// describeDifference says in words how a sink has changed. Of a secret it says only that it
// changed.
func describeDifference(_ access.Namer, label string, b, a Sink, say *edit.Sentences) {
	say.If(a.Name != b.Name, "rename ", label, " to ", text.Quote(a.Name))
	say.If(a.Endpoint.URL != b.Endpoint.URL, "send ", label, " to ", a.Endpoint.HostPort())
	same := b.Endpoint
	same.URL = a.Endpoint.URL
	say.If(a.Endpoint.Mark() != same.Mark() || joinSecrets(a) != joinSecrets(b), "set how ", label,
		" proves who we are")
	say.If(a.Place != b.Place || a.Declare != b.Declare || a.Protocol != b.Protocol, "set where ", label,
		" puts events")
	say.If(!slices.Equal(a.Only, b.Only) || a.IDsOnly != b.IDsOnly, "set what ", label, " sends")
	say.If(a.Paused != "" && b.Paused == "", "pause ", label, ": ", text.Quote(a.Paused))
	say.If(a.Paused == "" && b.Paused != "", "resume ", label)
	say.If(a.From != b.From, "begin ", label, fmt.Sprintf(" at event %d", a.From))
}

func joinSecrets(r Sink) string {
	var all []string
	for _, s := range r.Secrets {
		all = append(all, s.Reveal())
	}
	return strings.Join(all, "\x00")
}
