package store

import (
	"fmt"
	"time"

	"latchkey/gateway/access"
)

type formatRecord struct {
	Format  int    `cbor:"1,keyasint"`
	Created *stamp `cbor:"2,keyasint,omitempty"`
}

// head is the state of the whole store in a few words. It is written with every batch, so a record that vanished or was put back
// disagrees with it, and a head that was put back disagrees with the chain.
type head struct {
	seq        uint64 // newest event, 0 for none
	hash       access.Hash
	latest     time.Time // latest time of the events after Site.TimeTrusted; zero for none
	policy     tally     // over policy, device and key records
	policyAt   uint64    // the policy event that carries policy's digest, 0 before the first
	counters   tally     // over the counter records
	countersAt uint64    // the newest event that the counter records know of
}

// headVersion is the version of the head that this program writes. It is above that of the record's own fields: it also keeps out programs
// that do not know some other record.
const headVersion = 4

// headRecord is as since version 2. Version 1 has no CountersAt: there the counter records knew of every event.
type headRecord struct {
	Seq          uint64 `cbor:"1,keyasint"`
	Hash         []byte `cbor:"2,keyasint"`
	Latest       *stamp `cbor:"3,keyasint,omitempty"`
	PolicySum    []byte `cbor:"4,keyasint"`
	PolicyCount  uint64 `cbor:"5,keyasint"`
	PolicyAt     uint64 `cbor:"6,keyasint"`
	CounterSum   []byte `cbor:"7,keyasint"`
	CounterCount uint64 `cbor:"8,keyasint"`
	CountersAt   uint64 `cbor:"9,keyasint,omitempty"`
}

func (h *head) encode() ([]byte, error) {
	p, c := h.policy.sum.bytes(), h.counters.sum.bytes()
	return encode(headVersion, headRecord{h.seq, h.hash[:], stampOf(h.latest), p[:], h.policy.count, h.policyAt, c[:], h.counters.count, h.countersAt})
}

func decodeHead(plain []byte) (head, error) {
	r, version, err := decodeUpTo[headRecord](headVersion, plain)
	if err != nil {
		return head{}, err
	}
	if version == 1 {
		r.CountersAt = r.Seq
	}
	if r.CountersAt > r.Seq {
		return head{}, fmt.Errorf("counters of event %d, and the newest is %d: %w", r.CountersAt, r.Seq, ErrCorrupt)
	}
	if len(r.Hash) != 32 || len(r.PolicySum) != 32 || len(r.CounterSum) != 32 {
		return head{}, fmt.Errorf("digest length: %w", ErrCorrupt)
	}
	return head{seq: r.Seq, hash: access.Hash(r.Hash), latest: r.Latest.time(),
		policy: tally{sumOf([32]byte(r.PolicySum)), r.PolicyCount}, policyAt: r.PolicyAt,
		counters: tally{sumOf([32]byte(r.CounterSum)), r.CounterCount}, countersAt: r.CountersAt}, nil
}

// changeRecord lists what one policy event wrote: enough to name the record that does not agree with the digest.
type changeRecord struct {
	Changed []changedRecord `cbor:"1,keyasint"`
}

type changedRecord struct {
	_    struct{} `cbor:",toarray"`
	Key  []byte
	Leaf []byte // first 16 bytes of the leaf; empty: deleted
}
