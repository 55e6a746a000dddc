package record

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/audit"
	"latchkey/gateway/store/seal"
	"latchkey/keys"
)

// ErrRefused is returned for a malformed attempt or event.
var ErrRefused = errors.New("not something the store writes")

// Event is an event with two fields that only the store needs.
type Event struct {
	audit.Event
	Attempt [32]byte // see DigestAttempt; zero if the event moves no counter
	// From At, when the attempt was made, to its decision, by the wall clock. So it may be
	// negative.
	Waited time.Duration
}

// Events that became durable together are one record, a page: its Badger key has the number of the
// first; the hash of the event before it, a version and one eventRecord for each follow one another
// (a CBOR sequence, RFC 8742). A page of version 1 has one event, without Attempt.
const pageVersion = 2

// eventRecord is the body of an event, without the version in front of it. It is read by reflection
// and written by [Event.appendTo].
type eventRecord struct {
	At             int64       `cbor:"1,keyasint"` // Unix, ns
	Kind           string      `cbor:"2,keyasint"`
	Device         namedRecord `cbor:"3,keyasint"`
	Target         namedRecord `cbor:"4,keyasint"`
	Person         namedRecord `cbor:"5,keyasint"`
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
	Attempt        []byte      `cbor:"20,keyasint,omitempty"`
	Waited         int64       `cbor:"21,keyasint,omitempty"` // ns
}

type namedRecord struct {
	_    struct{} `cbor:",toarray"`
	ID   string
	Name string
}

func (n namedRecord) named() audit.Named { return audit.Named{ID: access.ID(n.ID), Name: n.Name} }

// CleanText makes text from outside storable: other text than UTF-8 could not be read back from
// CBOR.
func CleanText[S ~string](s S) S { return S(strings.ToValidUTF8(string(s), "\uFFFD")) }

// Clean changes ev into what will be read back.
func (ev *Event) Clean() {
	ev.At = ev.At.Round(0).UTC()
	for _, n := range []*audit.Named{&ev.Device, &ev.Target, &ev.Person} {
		n.ID, n.Name = CleanText(n.ID), CleanText(n.Name)
	}
	ev.Kind, ev.Source, ev.Reason, ev.Outcome = CleanText(ev.Kind), CleanText(ev.Source),
		CleanText(ev.Reason), CleanText(ev.Outcome)
	ev.Card, ev.Actor, ev.Rule, ev.Detail = CleanText(ev.Card), CleanText(ev.Actor), CleanText(ev.Rule),
		CleanText(ev.Detail)
}

const (
	eventLabel = "latchkey event 1\x00"
	// MaxEventText limits the bytes of all texts of one event, so that a batch has room for many
	// events.
	MaxEventText = 4096
	// MaxCounterText limits the bytes of those texts that a counter keeps, so that a checkpoint
	// fits a batch.
	MaxCounterText = 160
)

// BeginPage begins a page in the memory of room.
func BeginPage(room []byte, prev keys.Hash) []byte {
	return append(append(room, prev[:]...), pageVersion)
}

// Encoder encodes events. The zero value is ready for use.
type Encoder struct{ text []byte }

// Encode returns the bytes of ev in a page, and sets ev's hash. The result is valid until the next
// call.
func (e *Encoder) Encode(ev *Event) []byte {
	text := appendHashPrefix(e.text[:0], ev.Prev, pageVersion)
	start := len(text)
	text = ev.appendTo(text)
	ev.Hash = sha256.Sum256(text)
	e.text = text
	return text[start:]
}

// appendTo appends ev as an [eventRecord].
func (ev *Event) appendTo(b []byte) []byte {
	m := beginMap(b)
	m.int(1, ev.At.UnixNano())
	m.text(2, string(ev.Kind))
	m.named(3, ev.Device)
	m.named(4, ev.Target)
	m.named(5, ev.Person)
	m.someText(6, ev.Card)
	m.someText(7, ev.Actor)
	m.someText(8, string(ev.Source))
	m.someUint(9, uint64(ev.Action))
	m.someUint(10, uint64(ev.Level))
	m.someUint(11, ev.Counter)
	m.someTrue(12, ev.Granted)
	m.someText(13, string(ev.Reason))
	m.someText(14, ev.Rule)
	m.someUint(15, ev.Cause)
	m.someText(16, string(ev.Outcome))
	m.someText(17, ev.Detail)
	m.someTrue(18, ev.ClockUntrusted)
	m.someHash(19, ev.Digest)
	m.someHash(20, ev.Attempt)
	m.someInt(21, int64(ev.Waited))
	return m.b
}

// appendHashPrefix appends what is hashed before the body of an event: a label, the hash of the
// event before, and the version of the page.
func appendHashPrefix(b []byte, prev keys.Hash, version byte) []byte {
	return append(append(append(b, eventLabel...), prev[:]...), version)
}

// DecodePage reads the events of a page. The first has the number seq.
func DecodePage(seq uint64, plain []byte) ([]Event, error) {
	var prev keys.Hash
	if len(plain) <= len(prev) {
		return nil, fmt.Errorf("too short: %w", seal.ErrCorrupt)
	}
	plain = plain[copy(prev[:], plain):]
	version, rest := plain[0], plain[1:]
	if version == 0 || version > pageVersion {
		return nil, fmt.Errorf("record version %d: %w", version, seal.ErrFormat)
	}
	var page []Event
	var text []byte
	for {
		var rec eventRecord
		after, err := decMode.UnmarshalFirst(rest, &rec)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", seal.ErrCorrupt, err)
		}
		ev, err := rec.event()
		if err != nil {
			return nil, err
		}
		text = append(appendHashPrefix(text[:0], prev, version), rest[:len(rest)-len(after)]...)
		ev.Seq, ev.Prev, ev.Hash = seq, prev, sha256.Sum256(text)
		page = append(page, ev)
		seq, prev, rest = seq+1, ev.Hash, after
		switch {
		case len(rest) == 0:
			return page, nil
		case version == 1:
			return nil, fmt.Errorf("more than one event: %w", seal.ErrCorrupt)
		}
	}
}

func (rec *eventRecord) event() (Event, error) {
	ev := Event{Event: audit.Event{At: time.Unix(0, rec.At).UTC(), Kind: audit.EventKind(rec.Kind),
		Device: rec.Device.named(),
		Target: rec.Target.named(), Person: rec.Person.named(), Card: rec.Card, Actor: rec.Actor,
		Source: access.Source(rec.Source),
		Action: wire.Action(rec.Action), Level: rec.Level, Counter: rec.Counter, Granted: rec.Granted,
		Reason: access.Reason(rec.Reason),
		Rule:   rec.Rule, Cause: rec.Cause, Outcome: audit.Outcome(rec.Outcome), Detail: rec.Detail,
		ClockUntrusted: rec.ClockUntrusted},
		Waited: time.Duration(rec.Waited)}
	return ev, errors.Join(digestInto((*[32]byte)(&ev.Digest), rec.Digest),
		digestInto(&ev.Attempt, rec.Attempt))
}

// digestInto copies a digest that may be missing.
func digestInto(dst *[32]byte, b []byte) error {
	if n := copy(dst[:], b); n != len(b) || n != 0 && n != len(dst) {
		return fmt.Errorf("digest length: %w", seal.ErrCorrupt)
	}
	return nil
}

func (ev eventText) len() int {
	return len(ev.Detail) + len(ev.Actor) + len(ev.Rule) + len(ev.Reason) + len(ev.Outcome) + len(ev.Source) +
		len(ev.Kind) +
		len(ev.Device.ID) + len(ev.Device.Name) + len(ev.Target.ID) + len(ev.Target.Name) +
		len(ev.Person.ID) + len(ev.Person.Name)
}

type eventText audit.Event

// CheckEvent refuses an event that must not or cannot be stored.
func CheckEvent(ev *audit.Event) error {
	switch {
	case len(ev.Card) > 4:
		return fmt.Errorf("store: %s event: card is more than the last two bytes: %w", ev.Kind, ErrRefused)
	case (*eventText)(ev).len() > MaxEventText:
		return fmt.Errorf("store: %s event: more than %d bytes of text: %w", ev.Kind, MaxEventText,
			ErrRefused)
	case len(ev.Outcome)+len(ev.Reason)+len(ev.Rule)+len(ev.Person.ID) > MaxCounterText:
		return fmt.Errorf("store: %s event: outcome, reason and rule of more than %d bytes: %w", ev.Kind,
			MaxCounterText, ErrRefused)
	case ev.At.Year() < 1678 || ev.At.Year() > 2261:
		return fmt.Errorf("store: %s event: time outside 1678 to 2261: %w", ev.Kind, ErrRefused)
	}
	return nil
}
