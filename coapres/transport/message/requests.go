package message

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"slices"
	"time"
)

const (
	MaxInFlight  = 8                 // requests of one peer that are being handled
	KeepAnswered = 16                // answered requests that are remembered
	ExchangeLife = 247 * time.Second // EXCHANGE_LIFETIME (RFC 7252 §4.8.2)
)

var seed = maphash.MakeSeed()

// Requests holds the other side's requests that are being handled, and the answers to earlier ones.
// So a repeated request gets the same answer, and nothing is done twice (RFC 7252 §4.2). Of a peer
// that has been silent for ExchangeLife it holds nothing after Forget. The zero value is ready for
// use; the caller locks.
type Requests struct {
	waiting  []received // being handled; oldest first
	answered []answered // in the order of their answers
}

// received is one request of the peer that is being handled. A repetition has the same bytes; a
// different message with the same ID is a different request.
type received struct {
	mid   uint16
	token [MaxToken]byte
	tkl   uint8
	con   bool
	sum   uint64
	at    time.Duration // when the datagram was read, since began
}

// answered is one request of the peer that was answered.
type answered struct {
	sum    uint64
	at     time.Duration // when its datagram was read, since began
	answer string        // empty if the request was not confirmable
	mid    uint16
}

// began is the time from which the others count. A time.Time is three times as large.
var began = time.Now()

func (r *received) fits(mid uint16, token []byte) bool {
	return r.mid == mid && bytes.Equal(r.token[:r.tkl], token)
}

// Receive handles a well-formed request that was read at that time. It passes a new request, drops
// one that is being handled, and repeats the answer to one that was answered.
func (q *Requests) Receive(m []byte, at time.Time) (Verdict, []byte) {
	typ, mid := m[0]>>4&3, binary.BigEndian.Uint16(m[2:])
	sum, token, since := maphash.Bytes(seed, m), m[4:4+m[0]&15], at.Sub(began)
	for i := range q.waiting {
		if q.waiting[i].fits(mid, token) {
			// Either a repetition, which the coming answer serves too, or another request with the
			// same ID and token, so that nobody could tell the two answers apart.
			return Drop, nil
		}
	}
	q.forget(since)
	for i := range q.answered {
		a := &q.answered[i]
		switch {
		case a.mid != mid || a.sum != sum:
		case a.answer == "":
			return Drop, nil
		default:
			return Answer, []byte(a.answer)
		}
	}
	if len(q.waiting) >= MaxInFlight {
		return Drop, nil // the other side retransmits a confirmable request
	}
	r := received{mid: mid, tkl: uint8(len(token)), con: typ == CON, sum: sum, at: since}
	copy(r.token[:], token)
	if len(q.answered) > 0 && q.Count() >= KeepAnswered {
		q.answered = slices.Delete(q.answered, 0, 1)
	}
	q.waiting = append(q.waiting, r)
	return Pass, nil
}

// Count returns how many requests are remembered.
func (q *Requests) Count() int { return len(q.waiting) + len(q.answered) }

// Forget forgets the answers that no repetition can ask for any more, and frees what is not needed.
func (q *Requests) Forget(now time.Time) {
	if q.forget(now.Sub(began)); len(q.answered) == 0 {
		q.answered = nil
	}
	if len(q.waiting) == 0 {
		q.waiting = nil
	}
}

func (q *Requests) forget(now time.Duration) {
	q.answered = slices.DeleteFunc(q.answered, func(a answered) bool { return now-a.at > ExchangeLife })
}

// Refuse forgets a request that is being handled. Its repetition is a new request.
func (q *Requests) Refuse(m []byte) {
	mid, token := binary.BigEndian.Uint16(m[2:]), m[4:4+m[0]&15]
	q.waiting = slices.DeleteFunc(q.waiting, func(r received) bool { return r.fits(mid, token) })
}

// Keep stores an answer that is being sent, for repetitions of its request.
func (q *Requests) Keep(b []byte) {
	typ, mid, token := b[0]>>4&3, binary.BigEndian.Uint16(b[2:]), b[4:4+b[0]&15]
	for i := len(q.waiting) - 1; i >= 0; i-- { // the newest that fits
		r := &q.waiting[i]
		if r.con != (typ == ACK) || r.con && r.mid != mid || !bytes.Equal(r.token[:r.tkl], token) {
			continue
		}
		a := answered{sum: r.sum, at: r.at, mid: r.mid}
		if r.con {
			a.answer = string(b)
		}
		q.answered = append(q.answered, a)
		q.waiting = slices.Delete(q.waiting, i, i+1)
		return
	}
}
