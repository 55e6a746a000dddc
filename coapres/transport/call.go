package transport

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	coap "github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/pool"
	"github.com/plgd-dev/go-coap/v3/udp/coder"

	"latchkey/coapres/transport/message"
)

const (
	// nstart is how many of our confirmable messages may wait for their ACK (NSTART, RFC 7252 §4.7):
	// two, so that a command need not wait behind a read.
	nstart   = 2
	maxCalls = 16 // requests of ours that wait for their response
)

// call is a request or a ping of ours that somebody waits for.
type call struct {
	id     uint16
	acked  bool               // guarded by Conn.mu; it is not among Conn.unacked
	result chan *pool.Message // gets the response, or nil for a Reset
}

var (
	errReset = errors.New("the other side does not know the request (Reset)")
	errEnded = errors.New("transport: the association has ended")
)

// Do sends a confirmable request and waits for its answer. It retransmits at intervals that the
// round trip suggests, until the request's context ends or the other side answers with a Reset. The
// context must have a deadline. The answer belongs to the caller.
func (c *Conn) Do(req *pool.Message) (*pool.Message, error) {
	ctx := req.Context()
	if _, ok := ctx.Deadline(); !ok {
		return nil, errors.New("transport: request without a deadline")
	}
	if err := c.takeTurn(ctx); err != nil {
		return nil, err
	}
	c.mu.Lock()
	k := c.addCall(c.exchange.NextID())
	if err := ctx.Err(); err != nil { // nothing is sent late
		c.mu.Unlock()
		c.endCall(k)
		return nil, err
	}
	req.SetToken(c.exchange.NextToken())
	req.SetType(coap.Confirmable)
	req.SetMessageID(int32(k.id))
	b, err := req.MarshalWithEncoder(coder.DefaultCoder)
	if err == nil {
		c.exchange.Send(slices.Clone(b), c.link.Path(), time.Now())
		c.setTimer()
	}
	c.mu.Unlock()
	defer c.endCall(k)
	if err != nil {
		return nil, fmt.Errorf("transport: %w", err)
	}
	if err := c.write(b); err != nil {
		return nil, err
	}
	response, err := c.wait(ctx, k)
	if err == nil && response == nil {
		err = fmt.Errorf("transport: %w", errReset)
	}
	return response, err
}

// Release takes back a response that Do has returned. Nothing may use it any more.
func (c *Conn) Release(response *pool.Message) { messages.ReleaseMessage(response) }

// takeTurn waits until one more call may begin.
func (c *Conn) takeTurn(ctx context.Context) error {
	c.mu.Lock()
	if len(c.turns) == 0 && c.unacked < nstart && len(c.calls) < maxCalls {
		c.unacked++
		c.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	c.turns = append(c.turns, turn)
	c.mu.Unlock()
	var err error
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-c.ctx.Done():
		err = errEnded
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(c.turns, turn); i >= 0 {
		c.turns = slices.Delete(c.turns, i, i+1)
	} else { // it came meanwhile
		c.unacked--
		c.giveTurns()
	}
	return err
}

// addCall adds a call, which has its turn. The caller holds c.mu.
func (c *Conn) addCall(id uint16) *call {
	k := &call{id: id, result: make(chan *pool.Message, 1)}
	c.calls = append(c.calls, k)
	return k
}

// endCall removes a call and stops the retransmission of its request.
func (c *Conn) endCall(k *call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.exchange.Forget(k.id)
	c.acknowledge(k)
	if c.calls = slices.DeleteFunc(c.calls, func(o *call) bool { return o == k }); len(c.calls) == 0 {
		c.calls = nil
	}
	c.giveTurns()
}

// wait returns the response to a call, or nil after a Reset. A response that came before the end
// counts.
func (c *Conn) wait(ctx context.Context, k *call) (response *pool.Message, err error) {
	select {
	case response = <-k.result:
		return response, nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-c.ctx.Done():
		err = errEnded
	}
	select {
	case response = <-k.result:
		return response, nil
	default:
		return nil, err
	}
}

// settle tells a call what came.
func (c *Conn) settle(r message.Received, response *pool.Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.calls, func(k *call) bool { return k.id == r.ID })
	if i < 0 {
		return // a ping of pingNewAddress
	}
	k := c.calls[i]
	c.acknowledge(k)
	switch {
	case r.Kind == message.Response && response != nil, r.Kind == message.Reset:
		select {
		case k.result <- response:
		default:
		}
	}
}

// acknowledge notes that a call waits for its ACK no more. The caller holds c.mu.
func (c *Conn) acknowledge(k *call) {
	if !k.acked {
		k.acked = true
		c.unacked--
		c.giveTurns()
	}
}

// giveTurns lets waiting calls go on, if there is room. The caller holds c.mu.
func (c *Conn) giveTurns() {
	for len(c.turns) > 0 && c.unacked < nstart && len(c.calls) < maxCalls {
		c.unacked++
		close(c.turns[0])
		c.turns = c.turns[1:]
	}
}

// pingLimit is how long Ping waits. It repeats the ping after pingRepeat, and again after twice
// that time.
const (
	pingLimit  = time.Second
	pingRepeat = pingLimit / 4
)

var errNoPong = errors.New("transport: a ping was not answered")

// Ping asks the other side for a Reset (RFC 7252 §4.3), at most three times within one second. It
// returns nil if a Reset came: whoever sent it has this association's keys.
func (c *Conn) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pingLimit)
	defer cancel()
	c.mu.Lock()
	b, id := c.exchange.Ping(c.link.Path(), pingRepeat, time.Now())
	k := c.addCall(id)
	k.acked = true // it needs no turn
	c.setTimer()
	c.mu.Unlock()
	defer c.endCall(k)
	if err := c.write(b); err != nil {
		return err
	}
	if _, err := c.wait(ctx, k); err != nil {
		return errNoPong
	}
	return nil
}
