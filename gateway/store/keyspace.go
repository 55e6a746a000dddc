package store

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"latchkey/gateway/access"
	"latchkey/keys"
)

// recordKey is a Badger key: one letter for the kind of record, and an id that is random, a keyed hash or a sequence number.
// Names, UIDs and times never stand in one. FORMAT.md lists them.
type recordKey string

const (
	kindMeta       = 'm'
	kindSite       = 's'
	kindPerson     = 'p'
	kindGroup      = 'g'
	kindTarget     = 't'
	kindDevice     = 'd'
	kindKey        = 'k'
	kindSchedule   = 'w'
	kindCredential = 'c'
	kindGrant      = 'r'
	kindAccount    = 'a'
	kindCounter    = 'n'
	kindSignIn     = 'b'
	kindAddress    = 'l'
	kindEvent      = 'e'
	kindChange     = 'x'
)

const (
	formatKey recordKey = "mf"
	headKey   recordKey = "mh"
	siteRec   recordKey = "s"
)

// policyKinds are the kinds under the policy digest, in an order in which nothing refers to what comes later.
var policyKinds = []byte{kindSite, kindPerson, kindTarget, kindDevice, kindKey, kindGroup, kindSchedule, kindCredential, kindGrant,
	kindAccount}

var kindNames = map[byte]string{
	kindMeta: "meta", kindSite: "site", kindPerson: "person", kindGroup: "group", kindTarget: "target", kindDevice: "device",
	kindKey: "key", kindSchedule: "schedule", kindCredential: "credential", kindGrant: "grant", kindAccount: "account",
	kindCounter: "counter", kindSignIn: "sign-in", kindAddress: "address", kindEvent: "event", kindChange: "change",
}

func idKey(kind byte, id access.ID) recordKey { return recordKey(string(rune(kind)) + string(id)) }

func keyKey(id keys.ID) recordKey { return recordKey("k" + string(id)) }

func credentialKey(id access.CredentialID) recordKey { return recordKey("c" + string(id[:])) }

func signInKey(id [32]byte) recordKey { return recordKey("b" + string(id[:])) }

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
	name, ok := kindNames[k.kind()]
	switch {
	case k == formatKey:
		return "format record"
	case k == headKey:
		return "head record"
	case k == siteRec:
		return "site record"
	case !ok:
		return "unknown record " + hex.EncodeToString([]byte(k))
	case k.kind() == kindEvent || k.kind() == kindChange:
		return fmt.Sprintf("%s %d", name, k.seq())
	case k.kind() == kindCredential || k.kind() == kindSignIn:
		return name + " " + hex.EncodeToString([]byte(k[1:]))
	default:
		return fmt.Sprintf("%s %q", name, string(k[1:]))
	}
}
