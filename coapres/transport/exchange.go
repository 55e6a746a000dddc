package transport

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/maphash"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/plgd-dev/go-coap/v3/message"
)

const (
	maxMessage    = 1280              // a CoAP message in one record; RFC 7252 §4.6 suggests 1,152
	maxInFlight   = 8                 // requests of one peer that are being handled
	keepAnswered  = 16                // answered requests remembered for repeats
	exchangeLife  = 247 * time.Second // EXCHANGE_LIFETIME (RFC 7252 §4.8.2)
	maxRetransmit = 4                 // MAX_RETRANSMIT (RFC 7252 §4.8)

	firstTimeout = time.Second // ACK_TIMEOUT before the first round trip is known, times 1…1.5 (ACK_RANDOM_FACTOR)
	minTimeout   = 200 * time.Millisecond
	maxTimeout   = time.Second
)

var seed = maphash.MakeSeed()

// exchange is CoAP's message layer (RFC 7252 §4) on one association, below go-coap: it filters what is malformed, answers repeats of
// a request from its own memory, stamps each request with the time it was read, and repeats our confirmable messages. go-coap's own
// repeats and reply cache are off: the one has a fixed interval, the other is keyed by message ID alone.
type exchange struct {
	net.Conn // the DTLS connection: one Read is one record is one message
	mover    mover
	path     uint32                      // of the reading goroutine: the last path that was followed
	moved    func()                      // called by the reading goroutine, before the first message from a new address is passed on; nil: nobody
	refused  func(code byte, why string) // called by the reading goroutine, for a request refused by its options alone; nil: nobody
	idle     time.Duration
	began    time.Time
	close    sync.Once
	heard    atomic.Int64  // when the last message was read: ns since began, by the monotonic clock
	tokens   atomic.Uint32 // how many there were

	mu      sync.Mutex
	in      []received                         // guarded by mu; oldest first
	out     map[uint16]*outgoing               // guarded by mu; our confirmable messages without an ACK
	waiting map[uint16]context.CancelCauseFunc // guarded by mu; ends the call that waits for an answer
	srtt    time.Duration                      // guarded by mu; smoothed round trip, 0 before the first sample
}

// mover knows when the other side's address has changed.
type mover interface {
	Path() uint32   // grows with each change
	Prove(n uint32) // what was sent on path n was answered
}

// fixed is a mover that never moves.
type fixed struct{}

func (fixed) Path() uint32 { return 0 }
func (fixed) Prove(uint32) {}

// received is a request of the peer's. A repeat is the same bytes; another message with the same ID is another request.
type received struct {
	mid    uint16
	token  [maxToken]byte
	tkl    uint8
	con    bool
	sum    uint64
	at     time.Time // when the datagram was read
	answer []byte    // nil while it is being handled
}

type outgoing struct {
	b       []byte
	path    uint32 // where it went last
	sent    time.Time
	timeout time.Duration
	repeats int
	timer   *time.Timer
}

func newExchange(c net.Conn, idle time.Duration) *exchange {
	m, ok := c.(mover)
	if !ok {
		m = fixed{}
	}
	return &exchange{Conn: c, mover: m, idle: idle, began: time.Now(), out: map[uint16]*outgoing{}, waiting: map[uint16]context.CancelCauseFunc{}}
}

// Path is a number that grows when the other side's address changes. Whether it is heard at the new one, only an answer to something sent
// there can tell.
func (x *exchange) Path() uint32 { return x.mover.Path() }

// LastHeard is when the other side's newest message was read, whatever it was; the start of the association if there was none.
func (x *exchange) LastHeard() time.Time { return x.began.Add(time.Duration(x.heard.Load())) }

// Read returns the next message that go-coap should see. A malformed or repeated one never ends the session.
func (x *exchange) Read(b []byte) (int, error) {
	for {
		if err := x.Conn.SetReadDeadline(time.Now().Add(x.idle)); err != nil {
			return 0, err
		}
		n, err := x.Conn.Read(b)
		at := time.Now()
		if err != nil {
			if temporary(err) {
				continue
			}
			return 0, err
		}
		x.heard.Store(int64(at.Sub(x.began)))
		if p := x.mover.Path(); p != x.path && x.moved != nil {
			x.path = p
			x.moved()
		}
		m := b[:n]
		v, reply := check(m)
		if why := refusal(reply); why != "" && x.refused != nil {
			x.refused(reply[1], why)
		}
		if v == pass {
			v, reply = x.receive(m, at)
		}
		if reply != nil {
			if _, err := x.Conn.Write(reply); err != nil {
				return 0, err
			}
		}
		if v == pass {
			return n, nil
		}
	}
}

// receive tracks a well-formed message.
func (x *exchange) receive(m []byte, at time.Time) (verdict, []byte) {
	typ, code, mid := m[0]>>4&3, m[1], binary.BigEndian.Uint16(m[2:])
	x.mu.Lock()
	defer x.mu.Unlock()
	if typ == typeACK || typ == typeRST {
		return x.acknowledged(mid, typ == typeRST, at), nil
	}
	sum, token := maphash.Bytes(seed, m), m[4:4+m[0]&15]
	if code>>5 != 0 {
		return x.separate(m, token)
	}
	waiting := 0
	for i := range x.in {
		r := &x.in[i]
		if r.answer == nil {
			waiting++
		}
		if r.answer == nil && r.mid == mid && bytes.Equal(r.token[:r.tkl], token) {
			return drop, nil // a repeat, whom the answer serves too; or one whose answer could not be told from it
		}
		if r.mid != mid || r.sum != sum || at.Sub(r.at) > exchangeLife {
			continue
		}
		if !r.con {
			return drop, nil
		}
		return answer, r.answer
	}
	if waiting >= maxInFlight {
		return drop, nil // a confirmable one comes again
	}
	r := received{mid: mid, tkl: uint8(len(token)), con: typ == typeCON, sum: sum, at: at}
	copy(r.token[:], token)
	if len(x.in) >= keepAnswered {
		x.forgetOldest()
	}
	x.in = append(x.in, r)
	return pass, nil
}

// separate takes a response that is not in the ACK of its request, confirmable or not. It acknowledges the request too, because the empty
// ACK before it may have been lost (RFC 7252 §5.2.2), so go-coap gets it as the ACK that it waits for. A confirmable one is acknowledged
// here, each copy of it and also when nobody waits any more (§4.2): a Reset would say that it was never asked for.
func (x *exchange) separate(m, token []byte) (verdict, []byte) {
	confirmable := m[0]>>4&3 == typeCON
	if !x.issued(token) {
		if confirmable {
			return answer, reset(m)
		}
		return drop, nil
	}
	var reply []byte
	if confirmable {
		reply = []byte{0x40 | typeACK<<4, 0, m[2], m[3]}
	}
	m[0] = m[0]&^0x30 | typeNON<<4
	for mid, o := range x.out {
		if len(o.b) < 8 || !bytes.Equal(o.b[4:8], token) {
			continue
		}
		o.timer.Stop()
		delete(x.out, mid)
		x.mover.Prove(o.path) // no sample of the round trip: the other side took its time
		m[0] = m[0]&^0x30 | typeACK<<4
		binary.BigEndian.PutUint16(m[2:], mid)
		break
	}
	return pass, reply
}

func (x *exchange) forgetOldest() {
	for i := range x.in {
		if x.in[i].answer != nil {
			x.in = append(x.in[:i], x.in[i+1:]...)
			return
		}
	}
}

// token returns a token that is never used twice on this association (RFC 9175 §4.2).
func (x *exchange) token() message.Token { return binary.BigEndian.AppendUint32(nil, x.tokens.Add(1)) }

// issued tells whether a token was ever one of ours: a response to what was never asked is rejected (RFC 7252 §5.3.2).
func (x *exchange) issued(token []byte) bool {
	return len(token) == 4 && binary.BigEndian.Uint32(token)-1 < x.tokens.Load()
}

// arrival returns when the request with this ID and token was read; ok is false if it is not known, and then nothing may be done.
func (x *exchange) arrival(mid uint16, token []byte) (at time.Time, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if r := x.find(func(r *received) bool { return r.mid == mid && bytes.Equal(r.token[:r.tkl], token) }); r != nil {
		return r.at, true
	}
	return time.Time{}, false
}

// find returns the newest request being handled that fits.
func (x *exchange) find(fits func(*received) bool) *received {
	for i := len(x.in) - 1; i >= 0; i-- {
		if r := &x.in[i]; r.answer == nil && fits(r) {
			return r
		}
	}
	return nil
}

// Write sends one message of go-coap's: an answer is kept for repeats, a confirmable message is repeated until it is acknowledged.
func (x *exchange) Write(b []byte) (int, error) {
	if len(b) >= 4 {
		x.sending(b)
	}
	return x.Conn.Write(b)
}

// ping asks for a Reset (RFC 7252 §4.3).
func (x *exchange) ping(mid uint16, repeat time.Duration) error {
	b := []byte{0x40 | typeCON<<4, 0, byte(mid >> 8), byte(mid)}
	x.track(b, repeat)
	_, err := x.Conn.Write(b)
	return err
}

func (x *exchange) sending(b []byte) { x.track(b, 0) }

// track takes note of a message. A confirmable one is repeated after timeout for the first time; 0: as the round trip suggests.
func (x *exchange) track(b []byte, timeout time.Duration) {
	typ, tkl, code, mid := b[0]>>4&3, int(b[0]&15), b[1], binary.BigEndian.Uint16(b[2:])
	if tkl > maxToken || 4+tkl > len(b) {
		return
	}
	token := b[4 : 4+tkl]
	x.mu.Lock()
	defer x.mu.Unlock()
	if code>>5 != 0 {
		r := x.find(func(r *received) bool {
			return bytes.Equal(r.token[:r.tkl], token) && r.con == (typ == typeACK) && (!r.con || r.mid == mid)
		})
		if r != nil {
			r.answer = bytes.Clone(b)
		}
	}
	if typ == typeCON {
		if timeout == 0 {
			timeout = x.timeout()
		}
		o := &outgoing{b: bytes.Clone(b), path: x.mover.Path(), sent: time.Now(), timeout: timeout}
		o.timer = time.AfterFunc(o.timeout, func() { x.repeat(mid, o) })
		x.out[mid] = o
	}
}

// timeout is the wait before the first repeat. Doors hang on a LAN: once the round trip is known there is no reason to wait the 2 s of
// RFC 7252 §4.8.
func (x *exchange) timeout() time.Duration {
	if x.srtt == 0 {
		return firstTimeout + time.Duration(rand.Int64N(int64(firstTimeout/2)))
	}
	return min(max(2*x.srtt, minTimeout), maxTimeout)
}

func (x *exchange) repeat(mid uint16, o *outgoing) {
	x.mu.Lock()
	if x.out[mid] != o { // acknowledged or forgotten just now
		x.mu.Unlock()
		return
	}
	if o.repeats >= maxRetransmit {
		if x.waiting[mid] == nil { // otherwise a separate response may still acknowledge it, and forget deletes it
			delete(x.out, mid)
		}
		x.mu.Unlock()
		return
	}
	o.repeats++
	o.path = x.mover.Path()
	o.timeout *= 2
	o.timer.Reset(o.timeout)
	x.mu.Unlock()
	_, _ = x.Conn.Write(o.b) // a connection that is gone shows in Read
}

// acknowledged ends the repeats of a message, and what waits for an answer when it was reset. Only one that was sent once gives a sample of
// the round trip (Karn's rule). A Reset of ours, and the answer to a ping, are nothing to go-coap.
func (x *exchange) acknowledged(mid uint16, reset bool, at time.Time) verdict {
	o := x.out[mid]
	if o == nil {
		return pass
	}
	o.timer.Stop()
	delete(x.out, mid)
	x.mover.Prove(o.path)
	if o.repeats == 0 {
		if rtt := max(at.Sub(o.sent), time.Microsecond); x.srtt == 0 {
			x.srtt = rtt
		} else {
			x.srtt = (7*x.srtt + rtt) / 8
		}
	}
	if !reset && o.b[1] != 0 {
		return pass
	}
	if end := x.waiting[mid]; end != nil {
		end(errReset)
	}
	return drop
}

var errReset = errors.New("the other side does not know the request (Reset)")

// await has end called if the message is reset.
func (x *exchange) await(mid uint16, end context.CancelCauseFunc) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.waiting[mid] = end
}

// forget ends the repeats of a request that nobody waits for any more.
func (x *exchange) forget(mid uint16) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.waiting, mid)
	if o := x.out[mid]; o != nil {
		o.timer.Stop()
		delete(x.out, mid)
	}
}

// giveUp ends the repeats of a ping.
func (x *exchange) giveUp(mid uint16) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if o := x.out[mid]; o != nil && o.b[1] == 0 {
		o.timer.Stop()
		delete(x.out, mid)
	}
}

// Close ends all repeats and the DTLS connection, with a close_notify. Twice is harmless; either call returns when it is done.
func (x *exchange) Close() (err error) {
	x.close.Do(func() {
		x.mu.Lock()
		for mid, o := range x.out {
			o.timer.Stop()
			delete(x.out, mid)
		}
		x.mu.Unlock()
		err = x.Conn.Close()
	})
	return err
}
