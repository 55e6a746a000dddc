package transport

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/message/pool"
	"github.com/plgd-dev/go-coap/v3/udp/coder"

	"latchkey/coapres/transport/message"
)

const (
	// Requests of all associations that are being handled. Each takes a goroutine while it waits.
	maxHandled = 1024
	// Goroutines that stay for some time when no request is handled.
	keptWorkers = 32
)

// messages are the messages of all associations. Sharing them keeps idle ones small.
var messages = pool.New(256, 2048)

// packet is a message as bytes.
type packet struct {
	n int
	b [maxDatagram]byte
}

var packets = sync.Pool{New: func() any { return new(packet) }}

// request is a request that waits for a worker.
type request struct {
	conn *Conn
	in   *packet
	at   time.Time
}

// handle gives a new request to a worker. If none is free, or nothing may begin any more, it is lost
// as a datagram is: the other side repeats it.
func (c *Conn) handle(m []byte, at time.Time) {
	if c.work.begin() {
		p := packets.Get().(*packet)
		p.n = copy(p.b[:], m)
		if c.shared.pool.Do(request{c, p, at}) {
			return
		}
		packets.Put(p)
		c.work.leave()
		if c.shared.dropped != nil {
			c.shared.dropped()
		}
	}
	c.refuse(m)
}

// refuse forgets a request that is not answered, so that its repetition is a new one.
func (c *Conn) refuse(m []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.exchange.Refuse(m)
}

// answer lets the handler fill the response to a request, and queues it.
func (r request) answer() {
	c, m := r.conn, r.in.b[:r.in.n]
	defer c.work.leave()
	defer packets.Put(r.in)
	req := c.decode(m)
	if req == nil {
		c.refuse(m)
		return
	}
	defer messages.ReleaseMessage(req)
	resp := messages.AcquireMessage(c.ctx)
	defer messages.ReleaseMessage(resp)
	if resp.SetCode(codes.NotFound); c.handler != nil {
		c.handler(c, req, resp, r.at)
	}
	out := packets.Get().(*packet)
	defer packets.Put(out)
	b, err := encodeAnswer(out.b[:0], m, resp)
	if err != nil {
		c.log.Error("answer not encoded", "addr", c.remote.String(), "err", err)
		return
	}
	c.mu.Lock()
	if b[0]>>4&3 != message.ACK {
		binary.BigEndian.PutUint16(b[2:], c.exchange.NextID())
	}
	c.exchange.Keep(b)
	c.mu.Unlock()
	c.queue(b)
}

// decode returns a well-formed message for a handler or a caller.
func (c *Conn) decode(m []byte) *pool.Message {
	msg := messages.AcquireMessage(c.ctx)
	if _, err := msg.UnmarshalWithDecoder(coder.DefaultCoder, m); err != nil {
		c.log.Warn("message not understood", "addr", c.remote.String(), "err", err) // [message.Check] passed it
		messages.ReleaseMessage(msg)
		return nil
	}
	return msg
}

// encodeAnswer appends the response to a request to b. It is piggybacked on the ACK of a confirmable
// request, and non-confirmable otherwise (RFC 7252 §5.2); then it still needs a message ID.
func encodeAnswer(b, request []byte, resp *pool.Message) ([]byte, error) {
	typ, tkl := byte(message.NON), request[0]&15
	if request[0]>>4&3 == message.CON {
		typ = message.ACK
	}
	b = append(b, 0x40|typ<<4|tkl, byte(resp.Code()), request[2], request[3])
	b = append(b, request[4:4+tkl]...)
	n, err := resp.Options().Marshal(b[len(b):cap(b)])
	if err != nil {
		return nil, fmt.Errorf("transport: %w", err)
	}
	b = b[:len(b)+n]
	body := resp.Body()
	if body == nil {
		return b, nil
	}
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("transport: %w", err)
	}
	if len(b) == cap(b) {
		return nil, errTooLong
	}
	b = append(b, message.PayloadMarker)
	start := len(b)
	for {
		if len(b) == cap(b) {
			return nil, errTooLong
		}
		n, err := body.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("transport: %w", err)
		}
	}
	if len(b) == start {
		b = b[:start-1] // a marker without a payload is a format error
	}
	return b, nil
}

var errTooLong = errors.New("transport: the answer is too long")
