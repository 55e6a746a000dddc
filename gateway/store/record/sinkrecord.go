package record

import (
	"fmt"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/access/sinks"
	"latchkey/gateway/audit"
	"latchkey/gateway/store/seal"
	"latchkey/keys"
)

const KindSink = 'o'

type sinkRecord struct {
	Name     string         `cbor:"1,keyasint"`
	Protocol string         `cbor:"2,keyasint"`
	Endpoint endpointRecord `cbor:"3,keyasint"`
	Secrets  []string       `cbor:"4,keyasint,omitempty"`
	Place    string         `cbor:"5,keyasint,omitempty"`
	Declare  bool           `cbor:"6,keyasint,omitempty"`
	Only     []string       `cbor:"7,keyasint,omitempty"`
	IDsOnly  bool           `cbor:"8,keyasint,omitempty"`
	From     uint64         `cbor:"9,keyasint"`
	Paused   string         `cbor:"10,keyasint,omitempty"`
	Created  *Stamp         `cbor:"11,keyasint,omitempty"`
}

var sinkCodec = &codec[sinks.Sink, sinkRecord]{
	kind:   sinks.Kind,
	letter: KindSink,
	since:  5,
	id:     func(r sinks.Sink) string { return string(r.ID) },
	pack: func(r sinks.Sink) sinkRecord {
		var secrets []string
		for _, s := range r.Secrets {
			secrets = append(secrets, s.Reveal())
		}
		return sinkRecord{r.Name, string(r.Protocol), packEndpoint(r.Endpoint), secrets, r.Place, r.Declare,
			convert[string](r.Only), r.IDsOnly, r.From, r.Paused, MakeStamp(r.Created)}
	},
	unpack: func(id string, s sinkRecord) (sinks.Sink, error) {
		r := sinks.Sink{ID: access.ID(id), Name: s.Name, Protocol: sinks.Protocol(s.Protocol),
			Endpoint: s.Endpoint.unpack(), Place: s.Place, Declare: s.Declare,
			Only: convert[audit.EventKind](s.Only), IDsOnly: s.IDsOnly, From: s.From, Paused: s.Paused,
			Created: s.Created.Time()}
		for _, secret := range s.Secrets {
			r.Secrets = append(r.Secrets, keys.Hide(secret))
		}
		return r, nil
	},
}

// A sink's cursor and its dead letters are not part of the policy: writing one makes no event, and
// no digest covers it.

type cursorRecord struct {
	Epoch   uint64 `cbor:"1,keyasint"`
	Seq     uint64 `cbor:"2,keyasint"`
	Hash    []byte `cbor:"3,keyasint"`
	Failing *Stamp `cbor:"4,keyasint,omitempty"`
}

// EncodeCursor returns the plaintext of a sink's cursor.
func EncodeCursor(c audit.SinkCursor) ([]byte, error) {
	return Encode(1, cursorRecord{c.Epoch, c.Seq, c.Hash[:], MakeStamp(c.Failing)})
}

// DecodeCursor reads the plaintext of a sink's cursor.
func DecodeCursor(plain []byte) (audit.SinkCursor, error) {
	r, err := Decode[cursorRecord](plain)
	if err != nil {
		return audit.SinkCursor{}, err
	}
	if len(r.Hash) != len(keys.Hash{}) {
		return audit.SinkCursor{}, fmt.Errorf("hash length: %w", seal.ErrCorrupt)
	}
	return audit.SinkCursor{Epoch: r.Epoch, Seq: r.Seq, Hash: keys.Hash(r.Hash), Failing: r.Failing.Time()},
		nil
}

type deadRecord struct {
	Why   string `cbor:"1,keyasint"`
	Tries uint64 `cbor:"2,keyasint"`
	At    int64  `cbor:"3,keyasint"` // Unix, ns
}

// MaxDeadText limits the bytes of the reason of a dead letter.
const MaxDeadText = 400

// EncodeDead returns the plaintext of a dead letter.
func EncodeDead(d audit.DeadLetter) ([]byte, error) {
	why := CleanText(d.Why)
	if len(why) > MaxDeadText {
		why = CleanText(why[:MaxDeadText])
	}
	return Encode(1, deadRecord{why, uint64(max(0, d.Tries)), d.At.UnixNano()})
}

// DecodeDead reads the plaintext of the dead letter about the event seq.
func DecodeDead(seq uint64, plain []byte) (audit.DeadLetter, error) {
	r, err := Decode[deadRecord](plain)
	if err != nil {
		return audit.DeadLetter{}, err
	}
	return audit.DeadLetter{Seq: seq, Why: r.Why, Tries: int(r.Tries & 0x7fffffff),
		At: time.Unix(0, r.At).UTC()}, nil
}
