package message

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"time"
)

const (
	// MaxRetransmit is MAX_RETRANSMIT (RFC 7252 §4.8).
	MaxRetransmit = 4
	tokenSize     = 4
)

// Exchange is the message layer of one association, in both roles (RFC 7252 §4). It drops malformed
// messages, answers repeated requests from its own memory, finds the request of each response, and
// says when to retransmit. The caller locks, sends what is to be sent, and passes the time and the
// number of the other side's present address, its path.
type Exchange struct {
	in     Requests
	out    []sent // oldest first
	trip   RoundTrip
	id     uint16 // the last message ID of ours
	tokens uint32 // how many were made
}

// sent is a confirmable message of ours: a ping until it is acknowledged, or a request until its
// response comes or nobody waits for it any more.
type sent struct {
	b       []byte // nil once it is acknowledged
	id      uint16
	token   uint32        // 0 for a ping
	path    uint32        // of the first transmission
	repeats int           // transmissions after the first
	at      time.Time     // of the first transmission
	due     time.Time     // of the next transmission; zero: none
	wait    time.Duration // before it
}

// NewExchange returns the message layer of a new association.
func NewExchange() Exchange { return Exchange{id: uint16(rand.Uint32())} }

// Numbers returns the last message ID of ours, and how many tokens were made.
func (x *Exchange) Numbers() (id uint16, tokens uint32) { return x.id, x.tokens }

// Continue goes on with the numbers of another Exchange of the same association. It must be called
// before anything else.
func (x *Exchange) Continue(id uint16, tokens uint32) { x.id, x.tokens = id, tokens }

// NextID returns a message ID for a message of ours.
func (x *Exchange) NextID() uint16 {
	for {
		x.id++
		if x.find(x.id) == nil {
			return x.id
		}
	}
}

// NextToken returns a token that is never used twice on this association (RFC 9175 §4.2).
func (x *Exchange) NextToken() []byte {
	x.tokens++
	return binary.BigEndian.AppendUint32(nil, x.tokens)
}

// hasIssued tells whether we ever used a token.
func (x *Exchange) hasIssued(token []byte) bool {
	return len(token) == tokenSize && binary.BigEndian.Uint32(token)-1 < x.tokens
}

// Send records a request that is sent now, with an ID and a token from above. It keeps b. [Forget]
// must follow.
func (x *Exchange) Send(b []byte, path uint32, now time.Time) {
	x.add(b, binary.BigEndian.Uint32(b[4:]), path, x.trip.Timeout(), now)
}

// Ping returns a ping, which is sent now and asks for a Reset (RFC 7252 §4.3), and its message ID.
// It is first retransmitted after wait; 0 means what the round trip suggests.
func (x *Exchange) Ping(path uint32, wait time.Duration, now time.Time) (b []byte, id uint16) {
	if wait == 0 {
		wait = x.trip.Timeout()
	}
	id = x.NextID()
	b = []byte{0x40 | CON<<4, 0, byte(id >> 8), byte(id)}
	x.add(b, 0, path, wait, now)
	return b, id
}

func (x *Exchange) add(b []byte, token, path uint32, wait time.Duration, now time.Time) {
	x.out = append(x.out, sent{b: b, id: binary.BigEndian.Uint16(b[2:]), token: token, path: path, at: now,
		due: now.Add(wait), wait: wait})
}

// Forget drops a request or a ping that nobody waits for any more.
func (x *Exchange) Forget(id uint16) {
	x.out = slices.DeleteFunc(x.out, func(s sent) bool { return s.id == id })
	if len(x.out) == 0 {
		x.out = nil // an idle association needs no memory
	}
}

// ForgetPing drops a ping. If it was answered long ago, a request may have its ID now.
func (x *Exchange) ForgetPing(id uint16) {
	if s := x.find(id); s != nil && s.token == 0 {
		x.Forget(id)
	}
}

// Clear drops all that would be retransmitted.
func (x *Exchange) Clear() { x.out = nil }

// Keep stores an answer that is being sent, for repetitions of its request.
func (x *Exchange) Keep(answer []byte) {
	if answer[1] != 0 { // not an empty ACK
		x.in.Keep(answer)
	}
}

// Sweep frees the answers that no repetition can ask for any more.
func (x *Exchange) Sweep(now time.Time) { x.in.Forget(now) }

// Refuse forgets a request that was passed on and will not be answered. Its repetition is a new one.
func (x *Exchange) Refuse(request []byte) { x.in.Refuse(request) }

// Due returns when the next message must be retransmitted, or zero if none.
func (x *Exchange) Due() (due time.Time) {
	for i := range x.out {
		if d := x.out[i].due; !d.IsZero() && (due.IsZero() || d.Before(due)) {
			due = d
		}
	}
	return due
}

// Retransmit returns the messages that must be sent again now. Perhaps to another address: but the
// answer may be to the first transmission, so it proves no path but the first.
func (x *Exchange) Retransmit(now time.Time) (again [][]byte) {
	for i := range x.out {
		s := &x.out[i]
		if s.due.IsZero() || s.due.After(now) {
			continue
		}
		if s.repeats >= MaxRetransmit {
			s.due = time.Time{} // a separate response may still come
			continue
		}
		s.repeats++
		s.wait *= 2
		s.due = now.Add(s.wait)
		again = append(again, s.b)
	}
	x.out = slices.DeleteFunc(x.out, func(s sent) bool { return s.token == 0 && s.due.IsZero() })
	return again
}

// Kind says what a received message is.
type Kind uint8

const (
	Nothing      Kind = iota // handled here
	Request                  // a new request
	Acknowledged             // of our message ID; the response may follow
	Response                 // to our message ID
	Reset                    // of our message ID: a request that the other side does not know, or a ping
)

// Received is what follows from a received message.
type Received struct {
	Kind   Kind
	Reply  []byte // to be sent at once, or nil
	Why    string // Reply refuses a request because of its options
	ID     uint16 // of our message
	Proves bool   // the other side has received what was sent on Path
	Path   uint32
}

// Receive handles a message that was read at that time.
func (x *Exchange) Receive(m []byte, at time.Time) Received {
	v, reply := Check(m)
	if v != Pass {
		return Received{Reply: reply, Why: ReadRefusal(reply)}
	}
	typ, code, id := m[0]>>4&3, m[1], binary.BigEndian.Uint16(m[2:])
	token := m[4 : 4+m[0]&15]
	switch {
	case typ == ACK || typ == RST:
		return x.acknowledge(typ, code, id, token, at)
	case code>>5 != 0:
		return x.separate(typ, id, token)
	}
	if v, reply = x.in.Receive(m, at); v == Pass {
		return Received{Kind: Request}
	}
	return Received{Reply: reply}
}

// find returns our message with this ID, or nil.
func (x *Exchange) find(id uint16) *sent {
	for i := range x.out {
		if x.out[i].id == id {
			return &x.out[i]
		}
	}
	return nil
}

// acknowledge handles an ACK or a Reset. Only a message that was sent once gives a sample of the
// round trip (Karn's rule). A response in an ACK must have the token of the request too (RFC 7252
// §5.3.2).
func (x *Exchange) acknowledge(typ, code byte, id uint16, token []byte, at time.Time) Received {
	s := x.find(id)
	if s == nil {
		return Received{}
	}
	r := Received{Kind: Acknowledged, ID: id, Proves: s.b != nil, Path: s.path}
	if s.b != nil && s.repeats == 0 {
		x.trip.Add(at.Sub(s.at))
	}
	s.b, s.due = nil, time.Time{}
	switch {
	case typ == RST || s.token == 0:
		r.Kind = Reset
	case code != 0 && len(token) == tokenSize && binary.BigEndian.Uint32(token) == s.token:
		r.Kind = Response
	default:
		return r
	}
	x.Forget(id)
	return r
}

// separate handles a response that is not in the ACK of its request. It acknowledges the request
// too, because the empty ACK before it may have been lost (RFC 7252 §5.2.2). Each copy of a
// confirmable response is acknowledged, even if nobody waits any more (§4.2): a Reset would mean
// that nobody asked for it (§5.3.2). It gives no sample of the round trip, which includes the other
// side's work.
func (x *Exchange) separate(typ byte, id uint16, token []byte) (r Received) {
	confirmable := typ == CON
	if !x.hasIssued(token) {
		if confirmable {
			r.Reply = []byte{0x40 | RST<<4, 0, byte(id >> 8), byte(id)}
		}
		return r
	}
	if confirmable {
		r.Reply = []byte{0x40 | ACK<<4, 0, byte(id >> 8), byte(id)}
	}
	want := binary.BigEndian.Uint32(token)
	for i := range x.out {
		if s := &x.out[i]; s.token == want {
			r.Kind, r.ID, r.Proves, r.Path = Response, s.id, s.b != nil, s.path
			x.Forget(s.id)
			break
		}
	}
	return r
}
