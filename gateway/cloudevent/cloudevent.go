// Package cloudevent makes CloudEvents 1.0 as JSON of events of the chain, for servers of other
// people. What leaves the house is a list of members for each kind of event; whatever is not on it
// stays. The package sends nothing and knows no policy.
//
// The hash of an event is over all of it. So a receiver that guesses what was left out, such as the
// address of a sign-in, can check its guess.
package cloudevent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/audit"
	"latchkey/keys"
)

// Media types of one event and of a JSON array of them.
const (
	ContentType      = "application/cloudevents+json"
	BatchContentType = "application/cloudevents-batch+json"
)

// ErrKind is returned for a kind of event that has no list of members.
var ErrKind = errors.New("nothing says what may be sent of this kind of event")

// Source says whose chain an event is of. With an id, the source tells duplicates apart.
type Source struct {
	Site  access.ID
	Epoch uint64 // of the chain: a restore begins another one
}

// String is the source attribute of an event.
func (s Source) String() string { return "/latchkey/" + string(s.Site) }

// ID returns the id of the event of that number.
func (s Source) ID(seq uint64) string { return fmt.Sprintf("%d.%d", s.Epoch, seq) }

// Options say what of an event is sent.
type Options struct {
	// WithNames sends names of people, doors, devices and sinks beside their ids, and who acted.
	WithNames bool
}

// envelope is the attributes of a CloudEvent, in the order in which they are written. The last
// three before data are extensions: sequence is the number as text that sorts, chainhash is the
// hash of the event in the chain, prevhash that of the event before it.
type envelope struct {
	SpecVersion     string          `json:"specversion"`
	ID              string          `json:"id"`
	Source          string          `json:"source"`
	Type            string          `json:"type"`
	Subject         string          `json:"subject,omitempty"`
	Time            string          `json:"time"`
	DataContentType string          `json:"datacontenttype"`
	Sequence        string          `json:"sequence,omitempty"`
	ChainHash       *keys.Hash      `json:"chainhash,omitempty"`
	PrevHash        *keys.Hash      `json:"prevhash,omitempty"`
	Data            json.RawMessage `json:"data"`
}

// Encode returns an event as a CloudEvent in JSON. The same event gives the same bytes. It fails
// with [ErrKind].
func Encode(ev audit.Event, from Source, o Options) ([]byte, error) {
	list, ok := members[ev.Kind]
	if !ok {
		return nil, fmt.Errorf("cloudevent: event %d, %q: %w", ev.Seq, string(ev.Kind), ErrKind)
	}
	data, err := encodeData(&ev, list, o)
	if err != nil {
		return nil, err
	}
	return encode(envelope{ID: from.ID(ev.Seq), Source: from.String(), Type: typeOf(string(ev.Kind)),
		Subject: subjectOf(&ev, list), Time: ev.At.UTC().Format(time.RFC3339Nano),
		Sequence: formatSequence(ev.Seq), ChainHash: &ev.Hash, PrevHash: &ev.Prev, Data: data})
}

// EncodeTest returns an event that is not of the chain: somebody asks whether a sink works. id is
// its id.
func EncodeTest(from Source, at time.Time) (id string, body []byte, err error) {
	id = "test-" + keys.Random(16)
	body, err = encode(envelope{ID: id, Source: from.String(), Type: typeOf("test"),
		Time: at.UTC().Format(time.RFC3339Nano), Data: json.RawMessage(`{"kind":"test"}`)})
	return id, body, err
}

// typeOf returns the type attribute of a kind of event.
func typeOf(kind string) string { return "io.latchkey." + kind + ".v1" }

// formatSequence returns a number as text that sorts as the number does.
func formatSequence(seq uint64) string { return fmt.Sprintf("%020d", seq) }

// subjectOf names by id what an event is about, as far as the list of members has it.
func subjectOf(ev *audit.Event, list []member) string {
	subject := ""
	for _, m := range list {
		switch {
		case m.name == target.name && ev.Target.ID != "":
			return "target/" + string(ev.Target.ID)
		case m.name == device.name && ev.Device.ID != "":
			subject = "device/" + string(ev.Device.ID)
		}
	}
	return subject
}

func encode(e envelope) ([]byte, error) {
	e.SpecVersion, e.DataContentType = "1.0", "application/json"
	out, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("cloudevent: %s: %w", e.ID, err)
	}
	return out, nil
}

// encodeData writes the kind and then the members that have a value, in the order of the list.
func encodeData(ev *audit.Event, list []member, o Options) ([]byte, error) {
	var out bytes.Buffer
	fmt.Fprintf(&out, `{"kind":%q`, string(ev.Kind))
	for _, m := range list {
		v := m.value(ev, o)
		if v == nil {
			continue
		}
		text, err := json.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("cloudevent: event %d: %s: %w", ev.Seq, m.name, err)
		}
		fmt.Fprintf(&out, `,%q:%s`, m.name, text)
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}
