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

// exchange is CoAP's message layer (RFC 7252 §4) on one association, below go-coap. It drops
// malformed messages, answers repeated requests from its own memory, records when each request was
// read, and retransmits our confirmable messages. go-coap's own retransmission and reply cache are
// off: the first has a fixed interval, the second is keyed by message ID alone.
type exchange struct {
	net.Conn // the DTLS connection: one Read is one record is one message
	mover    mover
	path     uint32 // used by the reading goroutine; the last path that moved was called for
	// Called by the reading goroutine before the first message from a new address is passed on; may
	// be nil.
	moved func()
	// Called by the reading goroutine for a request that is refused because of its options; may be
	// nil.
	refused func(code byte, why string)
	idle    time.Duration
	began   time.Time
	close   sync.Once
	heard   atomic.Int64  // when the last message was read: ns since began, by the monotonic clock
	tokens  atomic.Uint32 // how many were made

	mu      sync.Mutex
	in      message.Requests                   // guarded by mu; the other side's requests
	out     map[uint16]*outgoing               // guarded by mu; our confirmable messages without an ACK
	waiting map[uint16]context.CancelCauseFunc // guarded by mu; ends the call that waits for an answer
	trip    message.RoundTrip                  // guarded by mu
}

// mover knows how often the other side's address has changed.
type mover interface {
	Path() uint32   // grows with each change
	Prove(n uint32) // something sent on path n was answered
}

// fixed is a mover that never moves.
type fixed struct{}

func (fixed) Path() uint32 { return 0 }
func (fixed) Prove(uint32) {}

type outgoing struct {
	b []byte
	// The path of the first transmission. A retransmission may be held for a new address, and an answer
	// to the first one must not prove that.
	path    uint32
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

// Path returns a number that grows when the other side's address changes. Only an answer to
// something sent there proves the new address.
func (x *exchange) Path() uint32 { return x.mover.Path() }

// LastHeard returns when the other side's newest message of any kind was read, or when the
// association began.
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
			if isTemporary(err) {
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
			v, reply = x.handleMessage(m, at)
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

// handleMessage handles a well-formed message.
func (x *exchange) handleMessage(m []byte, at time.Time) (message.Verdict, []byte) {
	typ, code, mid := m[0]>>4&3, m[1], binary.BigEndian.Uint16(m[2:])
	x.mu.Lock()
	defer x.mu.Unlock()
	if typ == message.ACK || typ == message.RST {
		return x.handleAcknowledgement(mid, typ == message.RST, at), nil
	}
	if code>>5 != 0 {
		return x.handleSeparateResponse(m, m[4:4+m[0]&15])
	}
	return x.in.Receive(m, at)
}

// handleSeparateResponse handles a response that is not in the ACK of its request. It acknowledges
// the request too, because the empty ACK before it may have been lost (RFC 7252 §5.2.2). So go-coap
// gets it as the ACK that it waits for. Each copy of a confirmable response is acknowledged here,
// even if nobody waits any more (§4.2): a Reset would mean that nobody asked for it.
func (x *exchange) handleSeparateResponse(m, token []byte) (message.Verdict, []byte) {
	confirmable := m[0]>>4&3 == message.CON
	if !x.hasIssued(token) {
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
		x.mover.Prove(o.path) // no sample of the round trip: it includes the other side's work
		m[0] = m[0]&^0x30 | message.ACK<<4
		binary.BigEndian.PutUint16(m[2:], mid)
		break
	}
	return message.Pass, reply
}

// makeToken returns a token that is never used twice on this association (RFC 9175 §4.2).
func (x *exchange) makeToken() []byte { return binary.BigEndian.AppendUint32(nil, x.tokens.Add(1)) }

// hasIssued tells whether we ever used a token: a response to no request of ours is rejected (RFC
// 7252 §5.3.2).
func (x *exchange) hasIssued(token []byte) bool {
	return len(token) == 4 && binary.BigEndian.Uint32(token)-1 < x.tokens.Load()
}

// findArrival returns when the request with this ID and token was read. If ok is false that is
// unknown, and the request must not be handled.
func (x *exchange) findArrival(mid uint16, token []byte) (at time.Time, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.in.Arrival(mid, token)
}

// Write sends one message for go-coap. It keeps an answer for repetitions of its request, and
// retransmits a confirmable message until it is acknowledged.
func (x *exchange) Write(b []byte) (int, error) {
	if len(b) >= 4 {
		x.trackSent(b)
	}
	return x.Conn.Write(b)
}

// sendPing asks for a Reset (RFC 7252 §4.3). The ping is first retransmitted after repeat; 0 means
// what the round trip suggests.
func (x *exchange) sendPing(mid uint16, repeat time.Duration) error {
	b := []byte{0x40 | message.CON<<4, 0, byte(mid >> 8), byte(mid)}
	x.track(b, repeat)
	_, err := x.Conn.Write(b)
	return err
}

func (x *exchange) trackSent(b []byte) { x.track(b, 0) }

// track records a message that is being sent. A confirmable one is first retransmitted after
// timeout; 0 means what the round trip suggests.
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
		o.timer = time.AfterFunc(o.timeout, func() { x.retransmit(mid, o) })
		x.out[mid] = o
	}
}

func (x *exchange) retransmit(mid uint16, o *outgoing) {
	x.mu.Lock()
	if x.out[mid] != o { // acknowledged or forgotten meanwhile
		x.mu.Unlock()
		return
	}
	if o.repeats >= maxRetransmit {
		// Otherwise a separate response may still acknowledge it, and forgetRequest deletes it.
		if x.waiting[mid] == nil {
			delete(x.out, mid)
		}
		x.mu.Unlock()
		return
	}
	o.repeats++
	o.timeout *= 2
	o.timer.Reset(o.timeout)
	x.mu.Unlock()
	_, _ = x.Conn.Write(o.b) // if the connection is gone, Read returns the error
}

// handleAcknowledgement stops the retransmission of a message. After a Reset it also ends the call
// that waits for an answer. Only a message that was sent once gives a sample of the round trip
// (Karn's rule). go-coap gets neither a Reset nor the answer to a ping.
func (x *exchange) handleAcknowledgement(mid uint16, reset bool, at time.Time) message.Verdict {
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

// awaitReset arranges that end is called if the message is answered with a Reset.
func (x *exchange) awaitReset(mid uint16, end context.CancelCauseFunc) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.waiting[mid] = end
}

// forgetRequest stops the retransmission of a request that nobody waits for any more.
func (x *exchange) forgetRequest(mid uint16) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.waiting, mid)
	if o := x.out[mid]; o != nil {
		o.timer.Stop()
		delete(x.out, mid)
	}
}

// forgetPing stops the retransmission of a ping.
func (x *exchange) forgetPing(mid uint16) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if o := x.out[mid]; o != nil && o.b[1] == 0 {
		o.timer.Stop()
		delete(x.out, mid)
	}
}

// Close stops all retransmission and ends the DTLS connection with a close_notify. Twice is
// harmless; both calls return when that is done.
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
