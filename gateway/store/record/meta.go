package record

import (
	"fmt"
	"time"

	"latchkey/gateway/store/seal"
	"latchkey/keys"
)

type FormatRecord struct {
	Format  int    `cbor:"1,keyasint"`
	Created *Stamp `cbor:"2,keyasint,omitempty"`
}

// Head is a summary of the whole store. It is written with every batch. So a record that vanished
// or was put back disagrees with the head, and a head that was put back disagrees with the chain.
type Head struct {
	Seq        uint64 // newest event, 0 for none
	Hash       keys.Hash
	Latest     time.Time // latest time of the events after Site.TimeTrusted; zero for none
	Policy     Tally     // over policy, device and key records
	PolicyAt   uint64    // the policy event that carries policy's digest, 0 before the first
	Counters   Tally     // over the counter records
	CountersAt uint64    // the newest event that is in the counter records
	Cut        uint64    // the newest event that was removed, see [Cut]; 0 for none
}

// headVersion is the version of the head that this program writes. It also grows with each new kind
// of record, although the head's own fields do not change: so a program that does not know the kind
// refuses the store.
var headVersion = max(4, Codecs.since)

// headRecord is the form since version 2. Version 1 has no CountersAt: in it the counter records
// included every event.
type headRecord struct {
	Seq          uint64 `cbor:"1,keyasint"`
	Hash         []byte `cbor:"2,keyasint"`
	Latest       *Stamp `cbor:"3,keyasint,omitempty"`
	PolicySum    []byte `cbor:"4,keyasint"`
	PolicyCount  uint64 `cbor:"5,keyasint"`
	PolicyAt     uint64 `cbor:"6,keyasint"`
	CounterSum   []byte `cbor:"7,keyasint"`
	CounterCount uint64 `cbor:"8,keyasint"`
	CountersAt   uint64 `cbor:"9,keyasint,omitempty"`
	Cut          uint64 `cbor:"10,keyasint,omitempty"` // since version 6
}

// AppendTo appends the plaintext of the head: its version and a [headRecord].
func (h *Head) AppendTo(b []byte) []byte {
	m := beginMap(append(b, headVersion))
	m.uint(1, h.Seq)
	m.hash(2, h.Hash)
	m.someTime(3, h.Latest)
	m.hash(4, h.Policy.Sum.Bytes())
	m.uint(5, h.Policy.Count)
	m.uint(6, h.PolicyAt)
	m.hash(7, h.Counters.Sum.Bytes())
	m.uint(8, h.Counters.Count)
	m.someUint(9, h.CountersAt)
	m.someUint(10, h.Cut)
	return m.b
}

func DecodeHead(plain []byte) (Head, error) {
	r, version, err := decodeUpTo[headRecord](headVersion, plain)
	if err != nil {
		return Head{}, err
	}
	if version == 1 {
		r.CountersAt = r.Seq
	}
	if r.CountersAt > r.Seq {
		return Head{}, fmt.Errorf("counters of event %d, and the newest is %d: %w", r.CountersAt, r.Seq,
			seal.ErrCorrupt)
	}
	if len(r.Hash) != 32 || len(r.PolicySum) != 32 || len(r.CounterSum) != 32 {
		return Head{}, fmt.Errorf("digest length: %w", seal.ErrCorrupt)
	}
	return Head{Seq: r.Seq, Hash: keys.Hash(r.Hash), Latest: r.Latest.Time(),
		Policy: Tally{sumOf([32]byte(r.PolicySum)), r.PolicyCount}, PolicyAt: r.PolicyAt,
		Counters: Tally{sumOf([32]byte(r.CounterSum)), r.CounterCount}, CountersAt: r.CountersAt,
		Cut: r.Cut}, nil
}

// ChangeRecord lists what one policy event wrote, so that a record that does not agree with the
// digest can be named.
type ChangeRecord struct {
	Changed []ChangedRecord `cbor:"1,keyasint"`
}

type ChangedRecord struct {
	_    struct{} `cbor:",toarray"`
	Key  []byte
	Leaf []byte // first 16 bytes of the leaf; empty: deleted
}
