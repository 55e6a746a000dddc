package coapres

import (
	"bytes"
	"context"
	"time"

	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/message/pool"

	"latchkey/coapres/wire"
)

// Caller is one association. It sends a request and waits for the answer until the request's
// context ends. That context must have a deadline.
type Caller interface {
	Do(req *pool.Message) (*pool.Message, error)
	// Release takes back what Do returned. Nothing may use it any more.
	Release(answer *pool.Message)
	// LastHeard returns when the other side's newest message was read.
	LastHeard() time.Time
	// Path returns a number that grows when the other side's address changes.
	Path() uint32
}

// Request is one call to the other side.
type Request struct {
	Method codes.Code
	Path   string // with a leading slash
	Query  []string
	Echo   []byte      // nil: none
	Format wire.Format // of Body, and of the answer that is accepted
	Body   []byte      // nil: none
}

// Answer is what came back.
type Answer struct {
	Code     codes.Code
	Body     []byte
	Location []string // Location-Path segments
}

// requests are messages for Call.
var requests = pool.New(64, 2048)

// Call sends r and keeps in h the Echo that its answer brings, whatever the answer is.
func Call(ctx context.Context, c Caller, h *Held, r Request) (Answer, error) {
	req := requests.AcquireMessage(ctx)
	defer requests.ReleaseMessage(req)
	req.SetCode(r.Method)
	if err := req.SetPath(r.Path); err != nil {
		return Answer{}, err
	}
	for _, q := range r.Query {
		req.AddQuery(q)
	}
	if r.Echo != nil {
		req.SetOptionBytes(optionEcho, r.Echo)
	}
	if r.Format != 0 {
		req.SetAccept(message.MediaType(r.Format))
	}
	if r.Body != nil {
		req.SetContentFormat(message.MediaType(r.Format))
		req.SetBody(bytes.NewReader(r.Body))
	}
	resp, err := c.Do(req)
	if err != nil {
		return Answer{}, err
	}
	defer c.Release(resp)
	if e, err := resp.GetOptionBytes(optionEcho); err == nil {
		h.Take(e, time.Now())
	}
	a := Answer{Code: resp.Code()}
	for _, o := range resp.Options() {
		if o.ID == message.LocationPath {
			a.Location = append(a.Location, string(o.Value))
		}
	}
	a.Body, err = body(resp, wire.MaxReport)
	return a, err
}

// EchoOf returns the Echo option of a request, nil if there is none.
func EchoOf(m *pool.Message) []byte {
	b, err := m.GetOptionBytes(optionEcho)
	if err != nil {
		return nil
	}
	return b
}

// SetEcho puts a new Echo into a response. Call it last, just before the response is written.
func (x *Echoes) SetEcho(resp *pool.Message) {
	e := x.Issue(time.Now())
	resp.SetOptionBytes(optionEcho, e[:])
}

// BodyOf reads a message's body of at most limit bytes.
func BodyOf(m *pool.Message, limit int) ([]byte, error) { return body(m, limit) }
