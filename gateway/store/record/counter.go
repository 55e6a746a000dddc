package record

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/audit"
	"latchkey/gateway/store/seal"
)

// Counter is the last scan counter accepted from a device, with the result of that attempt. It is
// never changed in place.
type Counter struct {
	Last     uint64
	Digest   [32]byte // of the attempt, see attemptDigest
	Seq      uint64   // of the decision's event
	At       int64    // when it was decided, Unix ns by Options.Now
	Decision access.Decision
	Outcome  audit.Outcome // empty until a receipt event
}

// Counters holds each device's last attempt. It is computed from the events of the chain by Take
// alone, both when events are written and when they are read again. The records on disk are its
// state at head.countersAt, so that opening a store need not read the whole chain.
type Counters struct {
	Under    *Counters // used for devices that this layer does not have; or nil
	ByDevice map[access.ID]*Counter
	BySeq    map[uint64]access.ID // the device whose counter the event moved
}

func NewCounters(under *Counters) *Counters {
	return &Counters{Under: under, ByDevice: make(map[access.ID]*Counter), BySeq: make(map[uint64]access.ID)}
}

// Find returns the device's counter, or nil if it has none.
func (cs *Counters) Find(device access.ID) *Counter {
	for ; cs != nil; cs = cs.Under {
		if c := cs.ByDevice[device]; c != nil {
			return c
		}
	}
	return nil
}

// Last returns the last counter accepted from the device, or 0.
func (cs *Counters) Last(device access.ID) uint64 {
	if c := cs.Find(device); c != nil {
		return c.Last
	}
	return 0
}

// decided returns the device whose last attempt was decided in that event, or "" if there is none
// any more.
func (cs *Counters) decided(seq uint64) access.ID {
	for layer := cs; layer != nil; layer = layer.Under {
		if device, ok := layer.BySeq[seq]; ok && cs.Find(device).Seq == seq {
			return device
		}
	}
	return ""
}

func (cs *Counters) Put(device access.ID, c *Counter) {
	if old := cs.ByDevice[device]; old != nil {
		delete(cs.BySeq, old.Seq)
	}
	cs.ByDevice[device], cs.BySeq[c.Seq] = c, device
}

// Take applies an event to the counters. A decision moves its device's counter even when it denies,
// so that a captured scan cannot be tried again later. A receipt becomes the outcome of its
// attempt.
func (cs *Counters) Take(ev *Event) {
	switch ev.Kind {
	case audit.EventDecision:
		device := ev.Device.ID
		if MovesCounter(ev.Source, device) && ev.Counter > cs.Last(device) {
			cs.Put(device, &Counter{Last: ev.Counter, Digest: ev.Attempt, Seq: ev.Seq,
				At: ev.At.Add(ev.Waited).UnixNano(),
				Decision: access.Decision{Granted: ev.Granted, Reason: ev.Reason, Rule: ev.Rule,
					Person: ev.Person.ID}})
		}
	case audit.EventReceipt:
		if device := cs.decided(ev.Cause); device != "" {
			c := *cs.Find(device)
			c.Outcome = ev.Outcome
			cs.Put(device, &c)
		}
	case audit.EventRestore: // it is never in a layer: the counter records are those after it
		clear(cs.ByDevice)
		clear(cs.BySeq)
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

func (c *Counter) Encode() ([]byte, error) {
	return Encode(1, counterRecord{c.Last, c.Digest[:], c.Seq, c.At, c.Decision.Granted,
		string(c.Decision.Reason),
		c.Decision.Rule, string(c.Decision.Person), string(c.Outcome)})
}

func DecodeCounter(plain []byte) (Counter, error) {
	r, err := Decode[counterRecord](plain)
	if err != nil {
		return Counter{}, err
	}
	c := Counter{Last: r.Last, Seq: r.Seq, At: r.At, Outcome: audit.Outcome(r.Outcome),
		Decision: access.Decision{Granted: r.Granted, Reason: access.Reason(r.Reason), Rule: r.Rule,
			Person: access.ID(r.Person)}}
	if len(r.Digest) != len(c.Digest) {
		return Counter{}, fmt.Errorf("digest length: %w", seal.ErrCorrupt)
	}
	copy(c.Digest[:], r.Digest)
	return c, nil
}

// MovesCounter tells whether an attempt of that source and device moves a counter.
func MovesCounter(source access.Source, device access.ID) bool {
	return device != "" && (source == access.ByCard || source == access.ByDevice)
}

// RepeatWindow is how long a repeated attempt gets the recorded answer.
const RepeatWindow = 60 * time.Second

// IsRepeat tells whether an attempt with this counter and digest repeats the recorded one within
// RepeatWindow. If the clock ran backwards meanwhile it does not count as a repetition, but as a
// replay.
func (c *Counter) IsRepeat(n uint64, digest [32]byte, now time.Time) bool {
	dt := now.UnixNano() - c.At
	return c.Last == n && c.Digest == digest && dt >= 0 && dt <= int64(RepeatWindow)
}

// DigestAttempt returns a hash that distinguishes attempts with the same counter. Age and Echo are
// not in it, so a repetition after a 4.01 has the same digest.
func DigestAttempt(a *access.Attempt) [32]byte {
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
