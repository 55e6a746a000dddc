package transport

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"latchkey/coapres/transport/message"
)

const maxRetransmit = 4 // MAX_RETRANSMIT (RFC 7252 §4.8)

// exchange is CoAP's message layer (RFC 7252 §4) on one association, below go-coap: it filters what
// is malformed, answers repeats of a request from its own memory, stamps each request with the time
// it was read, and repeats our confirmable messages. go-coap's own repeats and reply cache are off:
// the one has a fixed interval, the other is keyed by message ID alone.
type exchange struct {
	net.Conn // the DTLS connection: one Read is one record is one message
	mover    mover
	path     uint32 // of the reading goroutine: the last path that was followed
	// Called by the reading goroutine, before the first message from a new address is passed on;
	// nil: nobody.
	moved func()
	// Called by the reading goroutine, for a request refused by its options alone; nil: nobody.
	refused func(code byte, why string)
	idle    time.Duration
	began   time.Time
	close   sync.Once
	heard   atomic.Int64  // when the last message was read: ns since began, by the monotonic clock
	tokens  atomic.Uint32 // how many there were

	mu      sync.Mutex
	in      message.Requests                   // guarded by mu; what the other side asks
	out     map[uint16]*outgoing               // guarded by mu; our confirmable messages without an ACK
	waiting map[uint16]context.CancelCauseFunc // guarded by mu; ends the call that waits for an answer
	trip    message.RoundTrip                  // guarded by mu
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
	return &exchange{Conn: c, mover: m, idle: idle, began: time.Now(), out: map[uint16]*outgoing{},
		waiting: map[uint16]context.CancelCauseFunc{}}
}

// Path is a number that grows when the other side's address changes. Whether it is heard at the new
// one, only an answer to something sent there can tell.
func (x *exchange) Path() uint32 { return x.mover.Path() }

// LastHeard is when the other side's newest message was read, whatever it was; the start of the
// association if there was none.
func (x *exchange) LastHeard() time.Time { return x.began.Add(time.Duration(x.heard.Load())) }

// Read returns the next message that go-coap should see. A malformed or repeated one never ends the
// session.
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
		v, reply := message.Check(m)
		if why := message.ReadRefusal(reply); why != "" && x.refused != nil {
			x.refused(reply[1], why)
		}
		if v == message.Pass {
			v, reply = x.receive(m, at)
		}
		if reply != nil {
			if _, err := x.Conn.Write(reply); err != nil {
				return 0, err
			}
		}
		if v == message.Pass {
			return n, nil
		}
	}
}

// receive tracks a well-formed message.
func (x *exchange) receive(m []byte, at time.Time) (message.Verdict, []byte) {
	typ, code, mid := m[0]>>4&3, m[1], binary.BigEndian.Uint16(m[2:])
	x.mu.Lock()
	defer x.mu.Unlock()
	if typ == message.ACK || typ == message.RST {
		return x.acknowledged(mid, typ == message.RST, at), nil
	}
	if code>>5 != 0 {
		return x.separate(m, m[4:4+m[0]&15])
	}
	return x.in.Receive(m, at)
}

// separate takes a response that is not in the ACK of its request, confirmable or not. It
// acknowledges the request too, because the empty ACK before it may have been lost (RFC 7252
// §5.2.2), so go-coap gets it as the ACK that it waits for. A confirmable one is acknowledged here,
// each copy of it and also when nobody waits any more (§4.2): a Reset would say that it was never
// asked for.
func (x *exchange) separate(m, token []byte) (message.Verdict, []byte) {
	confirmable := m[0]>>4&3 == message.CON
	if !x.issued(token) {
		if confirmable {
			return message.Answer, message.MakeReset(m)
		}
		return message.Drop, nil
	}
	var reply []byte
	if confirmable {
		reply = []byte{0x40 | message.ACK<<4, 0, m[2], m[3]}
	}
	m[0] = m[0]&^0x30 | message.NON<<4
	for mid, o := range x.out {
		if len(o.b) < 8 || !bytes.Equal(o.b[4:8], token) {
			continue
		}
		o.timer.Stop()
		delete(x.out, mid)
		x.mover.Prove(o.path) // no sample of the round trip: the other side took its time
		m[0] = m[0]&^0x30 | message.ACK<<4
		binary.BigEndian.PutUint16(m[2:], mid)
		break
	}
	return message.Pass, reply
}

// token returns a token that is never used twice on this association (RFC 9175 §4.2).
func (x *exchange) token() []byte { return binary.BigEndian.AppendUint32(nil, x.tokens.Add(1)) }

// issued tells whether a token was ever one of ours: a response to what was never asked is rejected
// (RFC 7252 §5.3.2).
func (x *exchange) issued(token []byte) bool {
	return len(token) == 4 && binary.BigEndian.Uint32(token)-1 < x.tokens.Load()
}

// arrival returns when the request with this ID and token was read; ok is false if it is not known,
// and then nothing may be done.
func (x *exchange) arrival(mid uint16, token []byte) (at time.Time, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.in.Arrival(mid, token)
}

// Write sends one message of go-coap's: an answer is kept for repeats, a confirmable message is
// repeated until it is acknowledged.
func (x *exchange) Write(b []byte) (int, error) {
	if len(b) >= 4 {
		x.sending(b)
	}
	return x.Conn.Write(b)
}

// ping asks for a Reset (RFC 7252 §4.3).
func (x *exchange) ping(mid uint16, repeat time.Duration) error {
	b := []byte{0x40 | message.CON<<4, 0, byte(mid >> 8), byte(mid)}
	x.track(b, repeat)
	_, err := x.Conn.Write(b)
	return err
}

func (x *exchange) sending(b []byte) { x.track(b, 0) }

// track takes note of a message. A confirmable one is repeated after timeout for the first time; 0:
// as the round trip suggests.
func (x *exchange) track(b []byte, timeout time.Duration) {
	typ, tkl, code, mid := b[0]>>4&3, int(b[0]&15), b[1], binary.BigEndian.Uint16(b[2:])
	if tkl > message.MaxToken || 4+tkl > len(b) {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if code>>5 != 0 {
		x.in.Keep(b)
	}
	if typ == message.CON {
		if timeout == 0 {
			timeout = x.trip.Timeout()
		}
		o := &outgoing{b: bytes.Clone(b), path: x.mover.Path(), sent: time.Now(), timeout: timeout}
		o.timer = time.AfterFunc(o.timeout, func() { x.repeat(mid, o) })
		x.out[mid] = o
	}
}

func (x *exchange) repeat(mid uint16, o *outgoing) {
	x.mu.Lock()
	if x.out[mid] != o { // acknowledged or forgotten just now
		x.mu.Unlock()
		return
	}
	if o.repeats >= maxRetransmit {
		// Otherwise a separate response may still acknowledge it, and forget deletes it.
		if x.waiting[mid] == nil {
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

// acknowledged ends the repeats of a message, and what waits for an answer when it was reset. Only
// one that was sent once gives a sample of the round trip (Karn's rule). A Reset of ours, and the
// answer to a ping, are nothing to go-coap.
func (x *exchange) acknowledged(mid uint16, reset bool, at time.Time) message.Verdict {
	o := x.out[mid]
	if o == nil {
		return message.Pass
	}
	o.timer.Stop()
	delete(x.out, mid)
	x.mover.Prove(o.path)
	if o.repeats == 0 {
		x.trip.Add(at.Sub(o.sent))
	}
	if !reset && o.b[1] != 0 {
		return message.Pass
	}
	if end := x.waiting[mid]; end != nil {
		end(errReset)
	}
	return message.Drop
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

// Close ends all repeats and the DTLS connection, with a close_notify. Twice is harmless; either
// call returns when it is done.
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
