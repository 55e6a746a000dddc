package store

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/access"
)

// eventRecord is the body of an event, version 1. Its sequence number is in its Badger key; the hash before it stands in front of it.
type eventRecord struct {
	At             int64       `cbor:"1,keyasint"` // Unix, ns
	Kind           string      `cbor:"2,keyasint"`
	Device         namedRecord `cbor:"3,keyasint,omitzero"`
	Target         namedRecord `cbor:"4,keyasint,omitzero"`
	Person         namedRecord `cbor:"5,keyasint,omitzero"`
	Card           string      `cbor:"6,keyasint,omitempty"`
	Actor          string      `cbor:"7,keyasint,omitempty"`
	Source         string      `cbor:"8,keyasint,omitempty"`
	Action         uint8       `cbor:"9,keyasint,omitempty"`
	Level          uint8       `cbor:"10,keyasint,omitempty"`
	Counter        uint64      `cbor:"11,keyasint,omitempty"`
	Granted        bool        `cbor:"12,keyasint,omitempty"`
	Reason         string      `cbor:"13,keyasint,omitempty"`
	Rule           string      `cbor:"14,keyasint,omitempty"`
	Cause          uint64      `cbor:"15,keyasint,omitempty"`
	Outcome        string      `cbor:"16,keyasint,omitempty"`
	Detail         string      `cbor:"17,keyasint,omitempty"`
	ClockUntrusted bool        `cbor:"18,keyasint,omitempty"`
	Digest         []byte      `cbor:"19,keyasint,omitempty"`
}

type namedRecord struct {
	_    struct{} `cbor:",toarray"`
	ID   string
	Name string
}

func (n namedRecord) IsZero() bool { return n.ID == "" && n.Name == "" }

func (n namedRecord) named() access.Named { return access.Named{ID: access.ID(n.ID), Name: n.Name} }

func namedOf(n access.Named) namedRecord {
	return namedRecord{ID: clean(string(n.ID)), Name: clean(n.Name)}
}

// clean makes text that came from outside storable: CBOR text is UTF-8, and what is not could not be read back.
func clean(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

const (
	eventLabel = "latchkey event 1\x00"
	// maxEventText bounds what the texts of one event hold together, so that a batch has room for many.
	maxEventText = 4096
)

// encodeEvent returns the stored plaintext of ev, which is Prev and the body, and the hash over both.
func encodeEvent(ev *access.Event) ([]byte, access.Hash, error) {
	rec := eventRecord{At: ev.At.UnixNano(), Kind: string(ev.Kind), Device: namedOf(ev.Device), Target: namedOf(ev.Target),
		Person: namedOf(ev.Person), Card: clean(ev.Card), Actor: clean(ev.Actor), Source: clean(string(ev.Source)), Action: uint8(ev.Action),
		Level: ev.Level, Counter: ev.Counter, Granted: ev.Granted, Reason: clean(string(ev.Reason)), Rule: clean(ev.Rule), Cause: ev.Cause,
		Outcome: clean(string(ev.Outcome)), Detail: clean(ev.Detail), ClockUntrusted: ev.ClockUntrusted}
	if ev.Digest != (access.Hash{}) {
		rec.Digest = ev.Digest[:]
	}
	var b bytes.Buffer
	b.Grow(320)
	b.WriteString(eventLabel)
	b.Write(ev.Prev[:])
	b.WriteByte(1)
	if err := encMode.MarshalToBuffer(rec, &b); err != nil {
		return nil, access.Hash{}, fmt.Errorf("store: event %d: %w", ev.Seq, err)
	}
	return b.Bytes()[len(eventLabel):], sha256.Sum256(b.Bytes()), nil
}

// hashEvent is SHA-256 over a label, the hash of the event before, and the body as stored.
func hashEvent(plain []byte) access.Hash {
	return sha256.Sum256(append([]byte(eventLabel), plain...))
}

func decodeEvent(seq uint64, plain []byte) (access.Event, error) {
	ev := access.Event{Seq: seq}
	if len(plain) < len(ev.Prev) {
		return ev, fmt.Errorf("too short: %w", ErrCorrupt)
	}
	rec, err := decode[eventRecord](plain[copy(ev.Prev[:], plain):])
	if err != nil {
		return ev, err
	}
	if n := copy(ev.Digest[:], rec.Digest); n != len(rec.Digest) || n != 0 && n != len(ev.Digest) {
		return ev, fmt.Errorf("digest length: %w", ErrCorrupt)
	}
	ev.At = time.Unix(0, rec.At).UTC()
	ev.Kind = access.EventKind(rec.Kind)
	ev.Device, ev.Target, ev.Person = rec.Device.named(), rec.Target.named(), rec.Person.named()
	ev.Card, ev.Actor, ev.Source = rec.Card, rec.Actor, access.Source(rec.Source)
	ev.Action, ev.Level, ev.Counter = wire.Action(rec.Action), rec.Level, rec.Counter
	ev.Granted, ev.Reason, ev.Rule = rec.Granted, access.Reason(rec.Reason), rec.Rule
	ev.Cause, ev.Outcome, ev.Detail = rec.Cause, access.Outcome(rec.Outcome), rec.Detail
	ev.ClockUntrusted = rec.ClockUntrusted
	ev.Hash = hashEvent(plain)
	return ev, nil
}

func (ev eventText) len() int {
	return len(ev.Detail) + len(ev.Actor) + len(ev.Rule) + len(ev.Reason) + len(ev.Outcome) + len(ev.Source) + len(ev.Kind) +
		len(ev.Device.ID) + len(ev.Device.Name) + len(ev.Target.ID) + len(ev.Target.Name) + len(ev.Person.ID) + len(ev.Person.Name)
}

type eventText access.Event

// checkEvent refuses what must not, or cannot, be stored.
func checkEvent(ev *access.Event) error {
	switch {
	case len(ev.Card) > 4:
		return fmt.Errorf("store: %s event: card is more than the last two bytes: %w", ev.Kind, ErrRefused)
	case (*eventText)(ev).len() > maxEventText:
		return fmt.Errorf("store: %s event: more than %d bytes of text: %w", ev.Kind, maxEventText, ErrRefused)
	case ev.At.Year() < 1678 || ev.At.Year() > 2261:
		return fmt.Errorf("store: %s event: time outside 1678 to 2261: %w", ev.Kind, ErrRefused)
	}
	return nil
}
