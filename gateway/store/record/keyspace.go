package record

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"latchkey/gateway/access"
)

// Key is a Badger key: one letter for the kind of record, and an id that is random, a keyed hash or
// a sequence number. A key never holds a name, a UID or a time. FORMAT.md lists them.
type Key string

// The letters of records that are not part of the policy. Those of the policy are beside their
// codecs.
const (
	KindMeta    = 'm'
	KindCounter = 'n'
	KindSignIn  = 'b'
	KindAddress = 'l'
	KindEvent   = 'e'
	KindChange  = 'x'
	KindCursor  = 'u'
	KindDead    = 'y'
)

var otherKinds = map[byte]string{
	KindMeta: "meta", KindCounter: "counter", KindSignIn: "sign-in", KindAddress: "address",
	KindEvent: "event", KindChange: "change", KindCursor: "cursor", KindDead: "dead letter",
}

const (
	FormatKey Key = "mf"
	HeadKey   Key = "mh"
	CutKey    Key = "mc" // the statement of the events that were removed
)

// NameKind returns the name, for people, of the records whose Badger keys begin with the letter.
func NameKind(letter byte) (string, bool) {
	if c, ok := Codecs.byLetter[letter]; ok {
		return c.recordKind().KindName(), true
	}
	name, ok := otherKinds[letter]
	return name, ok
}

func MakeKey(kind byte, id access.ID) Key { return Key(string(rune(kind)) + string(id)) }

// idLen is the length of an id that is text.
const idLen = 10

// hashLen is the length of an id that is a hash and not text.
const hashLen = 32

func SignInKey(id [hashLen]byte) Key { return Key("b" + string(id[:])) }

func AddressKey(device access.ID) Key { return MakeKey(KindAddress, device) }

// CursorKey is the key of a sink's cursor.
func CursorKey(sink access.ID) Key { return MakeKey(KindCursor, sink) }

// DeadKey is the key of a sink's dead letter about an event.
func DeadKey(sink access.ID, seq uint64) Key {
	return Key(binary.BigEndian.AppendUint64([]byte(MakeKey(KindDead, sink)), seq))
}

// Dead returns the sink and the event of a dead letter, "" for a key of another length.
func (k Key) Dead() (sink access.ID, seq uint64) {
	const end = 1 + idLen
	if len(k) != end+8 {
		return "", 0
	}
	return access.ID(k[1:end]), binary.BigEndian.Uint64([]byte(k[end:]))
}

func CounterKey(device access.ID) Key { return MakeKey(KindCounter, device) }

func EventKey(seq uint64) Key { return seqKey(KindEvent, seq) }

func ChangeKey(seq uint64) Key { return seqKey(KindChange, seq) }

func seqKey(kind byte, seq uint64) Key {
	b := [9]byte{kind}
	binary.BigEndian.PutUint64(b[1:], seq)
	return Key(b[:])
}

func (k Key) Kind() byte {
	if k == "" {
		return 0
	}
	return k[0]
}

func (k Key) ID() access.ID { return access.ID(k[1:]) }

// Seq returns the sequence number in the key of an event or a change, or 0 for a key of another
// length.
func (k Key) Seq() uint64 {
	if len(k) != 9 {
		return 0
	}
	return binary.BigEndian.Uint64([]byte(k[1:]))
}

// String names the record for people, in errors.
func (k Key) String() string {
	name, ok := NameKind(k.Kind())
	switch {
	case k == FormatKey:
		return "format record"
	case k == HeadKey:
		return "head record"
	case k == CutKey:
		return "statement of removed events"
	case !ok:
		return "unknown record " + hex.EncodeToString([]byte(k))
	case len(k) == 1:
		return name + " record" // there is only one
	case k.Kind() == KindEvent || k.Kind() == KindChange:
		return fmt.Sprintf("%s %d", name, k.Seq())
	case k.Kind() == KindDead:
		sink, seq := k.Dead()
		return fmt.Sprintf("%s %q %d", name, string(sink), seq)
	case len(k) == 1+hashLen:
		return name + " " + hex.EncodeToString([]byte(k[1:]))
	default:
		return fmt.Sprintf("%s %q", name, string(k[1:]))
	}
}
