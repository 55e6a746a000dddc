package store

import (
	"fmt"
	"reflect"

	"latchkey/gateway/access"
)

// codecs has how each kind of record of the policy is kept, in an order in which nothing refers to what comes later.
// These records are under the policy digest.
var codecs = newCodecs(
	siteCodec,
	personCodec,
	targetCodec,
	deviceCodec,
	keyCodec,
	groupCodec,
	scheduleCodec,
	credentialCodec,
	grantCodec,
	accountCodec,
)

// codec is how the records of one kind are kept: R is the record, by value, and S its stored form, an xxxRecord.
// A record's id is only in its Badger key, which the seal binds to the value.
type codec[R, S any] struct {
	kind   access.RecordKind
	letter byte           // the Badger key is this letter and the id
	id     func(R) string // looks at nothing but the record's id
	pack   func(R) S
	unpack func(id string, s S) (R, error) // may be given any id and any S
}

// recordCodec is a codec, whatever its records are.
type recordCodec interface {
	of() access.RecordKind
	recordType() reflect.Type
	prefix() byte
	key(r access.Record) recordKey
	encode(r access.Record) ([]byte, error)
	decode(key recordKey, plain []byte) (access.Record, error)
}

func (c *codec[R, S]) of() access.RecordKind    { return c.kind }
func (c *codec[R, S]) recordType() reflect.Type { return reflect.TypeFor[R]() }
func (c *codec[R, S]) prefix() byte             { return c.letter }

func (c *codec[R, S]) key(r access.Record) recordKey {
	return recordKey(string(rune(c.letter)) + c.id(r.(R)))
}

func (c *codec[R, S]) encode(r access.Record) ([]byte, error) { return encode(1, c.pack(r.(R))) }

func (c *codec[R, S]) decode(key recordKey, plain []byte) (access.Record, error) {
	s, err := decode[S](plain)
	if err != nil {
		return nil, err
	}
	r, err := c.unpack(string(key[1:]), s)
	if err != nil {
		return nil, err
	}
	return r, nil
}

type codecTable struct {
	rows     []recordCodec
	byType   map[reflect.Type]recordCodec
	byLetter map[byte]recordCodec
	policy   *access.Table // the kinds of the policies that a store keeps
}

// newCodecs panics where two kinds would be taken for one another.
func newCodecs(rows ...recordCodec) *codecTable {
	t := &codecTable{rows: rows, byType: map[reflect.Type]recordCodec{}, byLetter: map[byte]recordCodec{}}
	var kinds []access.RecordKind
	for _, c := range rows {
		if t.byLetter[c.prefix()] != nil || otherKinds[c.prefix()] != "" || c.recordType() != c.of().RecordType() {
			panic(fmt.Sprintf("store: %v: its letter is taken, or its codec is for a %v", c.of().KindName(), c.recordType()))
		}
		t.byLetter[c.prefix()], t.byType[c.recordType()] = c, c
		kinds = append(kinds, c.of())
	}
	t.policy = access.Standard.With(kinds...)
	return t
}

// of returns the codec of the record's kind.
func (t *codecTable) of(r access.Record) (recordCodec, error) {
	c, ok := t.byType[reflect.TypeOf(r)]
	if !ok {
		return nil, fmt.Errorf("store: no record is a %T: %w", r, access.ErrInvalid)
	}
	return c, nil
}

// keyOf returns the Badger key of a policy record. Only the record's id is looked at.
func keyOf(r access.Record) (recordKey, error) {
	c, err := codecs.of(r)
	if err != nil {
		return "", err
	}
	return c.key(r), nil
}

// encodeRecord returns where a policy record is kept and its plaintext.
func encodeRecord(r access.Record) (recordKey, []byte, error) {
	c, err := codecs.of(r)
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

// decodeRecord reads the plaintext of a policy record back.
func decodeRecord(key recordKey, plain []byte) (access.Record, error) {
	c, ok := codecs.byLetter[key.kind()]
	if !ok {
		return nil, fmt.Errorf("not a policy record: %w", ErrCorrupt)
	}
	return c.decode(key, plain)
}

// convert returns the texts as another type, nil for none.
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
