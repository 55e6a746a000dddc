package message

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"time"
)

const (
	MaxInFlight  = 8                 // requests of one peer that are being handled
	KeepAnswered = 16                // answered requests that are remembered
	ExchangeLife = 247 * time.Second // EXCHANGE_LIFETIME (RFC 7252 §4.8.2)
)

var seed = maphash.MakeSeed()

// Requests holds the other side's requests that are being handled, and the answers to earlier ones.
// So a repeated request gets the same answer, and nothing is done twice (RFC 7252 §4.2). The zero
// value is ready for use; the caller locks.
type Requests struct {
	in []received // oldest first
}

// received is one request of the peer. A repetition has the same bytes; a different message with
// the same ID is a different request.
type received struct {
	mid    uint16
	token  [MaxToken]byte
	tkl    uint8
	con    bool
	sum    uint64
	at     time.Time // when the datagram was read
	answer []byte    // nil while it is being handled
}

// Receive handles a well-formed request that was read at that time. It passes a new request, drops
// one that is being handled, and repeats the answer to one that was answered.
func (q *Requests) Receive(m []byte, at time.Time) (Verdict, []byte) {
	typ, mid := m[0]>>4&3, binary.BigEndian.Uint16(m[2:])
	sum, token := maphash.Bytes(seed, m), m[4:4+m[0]&15]
	waiting := 0
	for i := range q.in {
		r := &q.in[i]
		if r.answer == nil {
			waiting++
		}
		if r.answer == nil && r.mid == mid && bytes.Equal(r.token[:r.tkl], token) {
			// Either a repetition, which the coming answer serves too, or another request with the
			// same ID and token, so that nobody could tell the two answers apart.
			return Drop, nil
		}
		if r.mid != mid || r.sum != sum || at.Sub(r.at) > ExchangeLife {
			continue
		}
		if !r.con {
			return Drop, nil
		}
		return Answer, r.answer
	}
	if waiting >= MaxInFlight {
		return Drop, nil // the other side retransmits a confirmable request
	}
	r := received{mid: mid, tkl: uint8(len(token)), con: typ == CON, sum: sum, at: at}
	copy(r.token[:], token)
	if len(q.in) >= KeepAnswered {
		q.forgetOldest()
	}
	q.in = append(q.in, r)
	return Pass, nil
}

// Count returns how many requests are remembered.
func (q *Requests) Count() int { return len(q.in) }

func (q *Requests) forgetOldest() {
	for i := range q.in {
		if q.in[i].answer != nil {
			q.in = append(q.in[:i], q.in[i+1:]...)
			return
		}
	}
}

// Refuse forgets a request that is being handled. Its repetition is a new request.
func (q *Requests) Refuse(m []byte) {
	mid, token := binary.BigEndian.Uint16(m[2:]), m[4:4+m[0]&15]
	for i := range q.in {
		if r := &q.in[i]; r.answer == nil && r.mid == mid && bytes.Equal(r.token[:r.tkl], token) {
			q.in = append(q.in[:i], q.in[i+1:]...)
			return
		}
	}
}

// Keep stores an answer that is being sent, for repetitions of its request.
func (q *Requests) Keep(b []byte) {
	typ, mid, token := b[0]>>4&3, binary.BigEndian.Uint16(b[2:]), b[4:4+b[0]&15]
	r := q.find(func(r *received) bool {
		return bytes.Equal(r.token[:r.tkl], token) && r.con == (typ == ACK) && (!r.con || r.mid == mid)
	})
	if r != nil {
		r.answer = bytes.Clone(b)
	}
}

// find returns the newest request being handled that fits.
func (q *Requests) find(fits func(*received) bool) *received {
	for i := len(q.in) - 1; i >= 0; i-- {
		if r := &q.in[i]; r.answer == nil && fits(r) {
			return r
		}
	}
	return nil
}
