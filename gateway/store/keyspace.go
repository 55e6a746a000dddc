package store

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"latchkey/gateway/access"
)

// recordKey is a Badger key: one letter for the kind of record, and an id that is random, a keyed hash or a sequence number.
// Names, UIDs and times never stand in one. FORMAT.md lists them.
type recordKey string

// The records that are no part of the policy. Those of the policy have their letters beside their codecs.
const (
	kindMeta    = 'm'
	kindCounter = 'n'
	kindSignIn  = 'b'
	kindAddress = 'l'
	kindEvent   = 'e'
	kindChange  = 'x'
)

var otherKinds = map[byte]string{
	kindMeta: "meta", kindCounter: "counter", kindSignIn: "sign-in", kindAddress: "address", kindEvent: "event", kindChange: "change",
}

const (
	formatKey recordKey = "mf"
	headKey   recordKey = "mh"
)

// kindName is what people call the records whose Badger keys begin with the letter.
func kindName(letter byte) (string, bool) {
	if c, ok := codecs.byLetter[letter]; ok {
		return c.of().KindName(), true
	}
	name, ok := otherKinds[letter]
	return name, ok
}

func idKey(kind byte, id access.ID) recordKey { return recordKey(string(rune(kind)) + string(id)) }

// hashLen is the length of an id that is a hash, and no text.
const hashLen = 32

func signInKey(id [hashLen]byte) recordKey { return recordKey("b" + string(id[:])) }

func addressKey(device access.ID) recordKey { return idKey(kindAddress, device) }

func counterKey(device access.ID) recordKey { return idKey(kindCounter, device) }

func eventKey(seq uint64) recordKey { return seqKey(kindEvent, seq) }

func changeKey(seq uint64) recordKey { return seqKey(kindChange, seq) }

func seqKey(kind byte, seq uint64) recordKey {
	b := binary.BigEndian.AppendUint64([]byte{kind}, seq)
	return recordKey(b)
}

func (k recordKey) kind() byte {
	if k == "" {
		return 0
	}
	return k[0]
}

func (k recordKey) id() access.ID { return access.ID(k[1:]) }

// seq returns the sequence number in the key of an event or a change, 0 for a key of another length.
func (k recordKey) seq() uint64 {
	if len(k) != 9 {
		return 0
	}
	return binary.BigEndian.Uint64([]byte(k[1:]))
}

// String names the record for people, in errors.
func (k recordKey) String() string {
	name, ok := kindName(k.kind())
	switch {
	case k == formatKey:
		return "format record"
	case k == headKey:
		return "head record"
	case !ok:
		return "unknown record " + hex.EncodeToString([]byte(k))
	case len(k) == 1:
		return name + " record" // there is one
	case k.kind() == kindEvent || k.kind() == kindChange:
		return fmt.Sprintf("%s %d", name, k.seq())
	case len(k) == 1+hashLen:
		return name + " " + hex.EncodeToString([]byte(k[1:]))
	default:
		return fmt.Sprintf("%s %q", name, string(k[1:]))
	}
}
