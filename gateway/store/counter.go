package store

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"latchkey/gateway/access"
)

// counter is the last scan counter taken from a device, and what became of that attempt. It is never changed in place.
type counter struct {
	last     uint64
	digest   [32]byte // of the attempt, see attemptDigest
	seq      uint64   // of the decision's event
	at       int64    // when it was decided, Unix ns by Options.Now
	decision access.Decision
	outcome  access.Outcome // empty until a receipt event
}

// counters are what the chain says of each device's last attempt: a fold over its events, by take alone, when they are written as when
// they are read again. The records on disk are that fold as of head.countersAt, so that opening a store need not read the whole chain.
type counters struct {
	under    *counters // what shows through where this one has nothing; or nil
	byDevice map[access.ID]*counter
	bySeq    map[uint64]access.ID // the device whose counter an event moved
}

func newCounters(under *counters) *counters {
	return &counters{under: under, byDevice: make(map[access.ID]*counter), bySeq: make(map[uint64]access.ID)}
}

// of returns the device's counter, nil if none was taken.
func (cs *counters) of(device access.ID) *counter {
	for ; cs != nil; cs = cs.under {
		if c := cs.byDevice[device]; c != nil {
			return c
		}
	}
	return nil
}

// last returns the last counter taken from the device, 0 if none was.
func (cs *counters) last(device access.ID) uint64 {
	if c := cs.of(device); c != nil {
		return c.last
	}
	return 0
}

// decided returns the device whose counter stands at the decision of that event; "" if there is none any more.
func (cs *counters) decided(seq uint64) access.ID {
	for layer := cs; layer != nil; layer = layer.under {
		if device, ok := layer.bySeq[seq]; ok && cs.of(device).seq == seq {
			return device
		}
	}
	return ""
}

func (cs *counters) put(device access.ID, c *counter) {
	if old := cs.byDevice[device]; old != nil {
		delete(cs.bySeq, old.seq)
	}
	cs.byDevice[device], cs.bySeq[c.seq] = c, device
}

// take moves the counters as the event says. A decision moves its device's even when it denies, so a captured scan cannot be tried again
// later; a receipt becomes the outcome of the attempt that it belongs to.
func (cs *counters) take(ev *stored) {
	switch ev.Kind {
	case access.EventDecision:
		device := ev.Device.ID
		if counts(ev.Source, device) && ev.Counter > cs.last(device) {
			cs.put(device, &counter{last: ev.Counter, digest: ev.attempt, seq: ev.Seq, at: ev.At.Add(ev.waited).UnixNano(),
				decision: access.Decision{Granted: ev.Granted, Reason: ev.Reason, Rule: ev.Rule, Person: ev.Person.ID}})
		}
	case access.EventReceipt:
		if device := cs.decided(ev.Cause); device != "" {
			c := *cs.of(device)
			c.outcome = ev.Outcome
			cs.put(device, &c)
		}
	}
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

// counts tells whether attempts of that source by that device move a counter.
func counts(source access.Source, device access.ID) bool {
	return device != "" && (source == access.ByCard || source == access.ByDevice)
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
