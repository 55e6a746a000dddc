// Package record has the stored form of all that the store keeps: the Badger key, the version and
// the plaintext of each record, the hashes that chain events, and the digests over many records. It
// knows no database, seals nothing and returns only domain types. FORMAT.md shows the bytes.
package record

import (
	"fmt"
	"reflect"

	"latchkey/gateway/access"
	"latchkey/gateway/store/seal"
)

// Codecs holds the codec of each kind of policy record. No kind refers to a later one. The policy
// digest covers these records.
var Codecs = newCodecs(
	siteCodec,
	personCodec,
	pinCodec,
	targetCodec,
	deviceCodec,
	keyCodec,
	groupCodec,
	scheduleCodec,
	credentialCodec,
	integrationCodec,
	grantCodec,
	accountCodec,
	sinkCodec,
	retentionCodec,
)

// codec stores the records of one kind. R is the record, by value, and S its stored form, an
// xxxRecord. A record's id is only in its Badger key, which the seal binds to the value.
type codec[R, S any] struct {
	kind   access.RecordKind
	letter byte           // the Badger key is this letter and the id
	id     func(R) string // reads only the record's id
	pack   func(R) S
	unpack func(id string, s S) (R, error) // may be given any id and any S
	// version is that of the stored form, 1 if it is 0. A later version has more fields, each of
	// which may be missing: so an older one reads as if they were.
	version byte

	// since is the first version of the head with which a store may hold such records; 0 means the
	// first of all. A program that only knows older heads does not know these records, and refuses
	// the store.
	since byte
}

// Codec is a codec for some type of record.
type Codec interface {
	recordKind() access.RecordKind
	recordType() reflect.Type
	Prefix() byte
	sinceHead() byte
	key(r access.Record) Key
	encode(r access.Record) ([]byte, error)
	Decode(key Key, plain []byte) (access.Record, error)
}

func (c *codec[R, S]) recordKind() access.RecordKind { return c.kind }
func (c *codec[R, S]) recordType() reflect.Type      { return reflect.TypeFor[R]() }
func (c *codec[R, S]) Prefix() byte                  { return c.letter }
func (c *codec[R, S]) sinceHead() byte               { return c.since }

func (c *codec[R, S]) key(r access.Record) Key {
	return Key(string(rune(c.letter)) + c.id(r.(R)))
}

func (c *codec[R, S]) encode(r access.Record) ([]byte, error) {
	return Encode(max(1, c.version), c.pack(r.(R)))
}

func (c *codec[R, S]) Decode(key Key, plain []byte) (access.Record, error) {
	s, _, err := decodeUpTo[S](max(1, c.version), plain)
	if err != nil {
		return nil, err
	}
	r, err := c.unpack(string(key[1:]), s)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// CodecTable holds the codecs of a policy's kinds.
type CodecTable struct {
	Rows     []Codec // in the order in which records are read
	byType   map[reflect.Type]Codec
	byLetter map[byte]Codec
	Policy   *access.Table // the kinds of the policies that a store keeps
	since    byte          // of the newest kind
}

// newCodecs panics if two kinds have the same letter, or if a codec does not fit its kind.
func newCodecs(rows ...Codec) *CodecTable {
	t := &CodecTable{Rows: rows, byType: map[reflect.Type]Codec{}, byLetter: map[byte]Codec{}}
	var kinds []access.RecordKind
	for _, c := range rows {
		name := c.recordKind().KindName()
		if t.byLetter[c.Prefix()] != nil || otherKinds[c.Prefix()] != "" {
			panic(fmt.Sprintf("store: %s: the letter %c is taken", name, c.Prefix()))
		}
		if c.recordType() != c.recordKind().RecordType() {
			panic(fmt.Sprintf("store: %s: its codec is for a %v", name, c.recordType()))
		}
		t.byLetter[c.Prefix()], t.byType[c.recordType()] = c, c
		kinds, t.since = append(kinds, c.recordKind()), max(t.since, c.sinceHead())
	}
	t.Policy = access.Standard.With(kinds...)
	return t
}

// find returns the codec of the record's kind.
func (t *CodecTable) find(r access.Record) (Codec, error) {
	c, ok := t.byType[reflect.TypeOf(r)]
	if !ok {
		return nil, fmt.Errorf("store: no record is a %T: %w", r, access.ErrInvalid)
	}
	return c, nil
}

// FindKey returns the Badger key of a policy record. Only the record's id is used.
func FindKey(r access.Record) (Key, error) {
	c, err := Codecs.find(r)
	if err != nil {
		return "", err
	}
	return c.key(r), nil
}

// EncodeRecord returns the Badger key and the plaintext of a policy record.
func EncodeRecord(r access.Record) (Key, []byte, error) {
	c, err := Codecs.find(r)
	if err != nil {
		return "", nil, err
	}
	key := c.key(r)
	plain, err := c.encode(r)
	if err != nil {
		return "", nil, fmt.Errorf("store: %v: %w", key, err)
	}
	return key, plain, nil
}

// DecodeRecord reads the plaintext of a policy record.
func DecodeRecord(key Key, plain []byte) (access.Record, error) {
	c, ok := Codecs.byLetter[key.Kind()]
	if !ok {
		return nil, fmt.Errorf("not a policy record: %w", seal.ErrCorrupt)
	}
	return c.Decode(key, plain)
}

// convert returns the texts as another type, or nil if there are none.
func convert[To, From ~string](in []From) []To {
	if len(in) == 0 {
		return nil
	}
	out := make([]To, len(in))
	for i, s := range in {
		out[i] = To(s)
	}
	return out
}
