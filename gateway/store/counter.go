package store

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"latchkey/gateway/access"
)

// counter is the last scan counter taken from a device, and what became of that attempt.
type counter struct {
	last     uint64
	digest   [32]byte // of the attempt, see attemptDigest
	seq      uint64   // of the decision's event
	at       int64    // when it was decided, Unix ns by Options.Now
	decision access.Decision
	outcome  access.Outcome // empty until a receipt event

	leaf sum // this record's share of the counters digest
}

type counterRecord struct {
	Last    uint64 `cbor:"1,keyasint"`
	Digest  []byte `cbor:"2,keyasint"`
	Seq     uint64 `cbor:"3,keyasint"`
	At      int64  `cbor:"4,keyasint"`
	Granted bool   `cbor:"5,keyasint,omitempty"`
	Reason  string `cbor:"6,keyasint"`
	Rule    string `cbor:"7,keyasint,omitempty"`
	Person  string `cbor:"8,keyasint,omitempty"`
	Outcome string `cbor:"9,keyasint,omitempty"`
}

func (c *counter) encode() ([]byte, error) {
	return encode(1, counterRecord{c.last, c.digest[:], c.seq, c.at, c.decision.Granted, string(c.decision.Reason),
		c.decision.Rule, string(c.decision.Person), string(c.outcome)})
}

func decodeCounter(plain []byte) (counter, error) {
	r, err := decode[counterRecord](plain)
	if err != nil {
		return counter{}, err
	}
	c := counter{last: r.Last, seq: r.Seq, at: r.At, outcome: access.Outcome(r.Outcome),
		decision: access.Decision{Granted: r.Granted, Reason: access.Reason(r.Reason), Rule: r.Rule, Person: access.ID(r.Person)}}
	if len(r.Digest) != len(c.digest) {
		return counter{}, fmt.Errorf("digest length: %w", ErrCorrupt)
	}
	copy(c.digest[:], r.Digest)
	return c, nil
}

// repeatWindow is how long the same attempt gets the recorded answer again.
const repeatWindow = 60 * time.Second

// repeats tells whether an attempt with this counter and digest is the recorded one come again, at now.
// A clock that ran backwards since makes it none: the attempt is then replayed.
func (c *counter) repeats(n uint64, digest [32]byte, now time.Time) bool {
	dt := now.UnixNano() - c.at
	return c.last == n && c.digest == digest && dt >= 0 && dt <= int64(repeatWindow)
}

// attemptDigest tells attempts with the same counter apart. The age and the Echo stay out, so that a repeat after 4.01 is the same.
func attemptDigest(a *access.Attempt) [32]byte {
	b := make([]byte, 0, 128)
	b = append(b, "latchkey attempt 1\x00"...)
	b = append(b, byte(len(a.Source)))
	b = append(b, a.Source...)
	b = binary.BigEndian.AppendUint64(b, a.Counter)
	if a.Source == access.ByCard {
		b = append(b, a.Credential[:]...)
	} else {
		b = append(b, byte(len(a.Target)))
		b = append(b, a.Target...)
		b = append(b, byte(a.Action), a.Level)
	}
	return sha256.Sum256(b)
}
