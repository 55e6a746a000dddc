// Package coapres holds the CoAP resources that nodes call, the requests that are sent to nodes,
// and the rule of freshness for both. It opens no sockets and decides nothing: it asks [Calls] who
// may open what, and Calls keeps the records.
package coapres

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/message/pool"

	"latchkey/coapres/wire"
)

// Echo option number (RFC 9175 §2.2.1); go-coap does not name it.
const optionEcho message.OptionID = 252

// Calls is what the resources ask of the gateway. Before each call the request was found
// well-formed, fresh, and allowed for the peer's kind. at is when the datagram was read; a command
// that follows takes it as the time of the intent.
type Calls interface {
	// Scan decides a card read and acts on it. An error means that nothing was decided.
	Scan(ctx context.Context, p *Peer, s wire.Scan, at time.Time) (wire.Verdict, error)
	// Act does the same for a switch's request to the named target.
	Act(ctx context.Context, p *Peer, target string, a wire.Act, at time.Time) (wire.Verdict, error)
	// State returns what is known of one of the peer's own targets.
	State(p *Peer, target string) (wire.State, error)
	// Late reports a scan, or a switch's request, that was refused because it came too long after
	// the tap. Somebody may have held it back. n is its counter.
	Late(p *Peer, n uint64, after time.Duration)
	// Registered is called at each registration and each update of it.
	Registered(p *Peer, lifetime time.Duration)
	// Left is called when the node removes its registration.
	Left(p *Peer)
	// Report takes measurements. A late one must change no state.
	Report(p *Peer, r wire.Report, late bool)
	// Targets returns the names of the targets that the peer may ask for, sorted.
	Targets(p *Peer) []string
}

// Server answers what nodes call.
type Server struct {
	Calls Calls
	Log   *slog.Logger
}

// request is one call on its way through the resource table.
type request struct {
	peer  *Peer
	msg   *pool.Message
	body  []byte
	res   *resource   // nil while it was not found
	param string      // the value of {id} or {target} in the path
	in    wire.Format // of the body
	out   wire.Format // wanted of the answer
	at    time.Time
	room  [wire.MaxBody]byte // for body, unless it is longer
}

// handled are requests that were answered, for the next ones.
var handled = sync.Pool{New: func() any { return new(request) }}

// response is the answer to a request. A zero code is never sent.
type response struct {
	code     codes.Code
	format   wire.Format
	body     []byte
	location string // path of a created resource
}

// Serve answers one request of a peer. It checks the peer's rate, finds the resource, checks that
// the peer's kind may call it and that the body is within its bounds, and calls the resource.
// Refusals leave no state behind.
func (s *Server) Serve(ctx context.Context, p *Peer, req, resp *pool.Message, at time.Time) {
	r := handled.Get().(*request)
	defer func() {
		*r = request{} // a card was in it
		handled.Put(r)
	}()
	r.peer, r.msg, r.at = p, req, at
	out, err := s.dispatch(ctx, r)
	if err != nil {
		out = response{code: codeOf(err)}
		why := diagnosticOf(err, req)
		resp.SetBody(strings.NewReader(why)) // a diagnostic payload has no Content-Format (RFC 7252 §5.5.2)
		p.Refuse(Refusal{At: at, Request: r.name(), Code: out.code, Why: why})
		if out.code != codes.Unauthorized && p.mayLog() { // a 4.01 is how a node gets its first Echo
			s.Log.Warn("request refused", "device", p.Name, "addr", p.Addr, "code", out.code.String(), "err",
				err)
		}
	}
	resp.SetCode(out.code)
	if out.location != "" {
		for seg := range strings.SplitSeq(out.location, "/") {
			resp.AddOptionString(message.LocationPath, seg)
		}
	}
	if out.body != nil {
		resp.SetContentFormat(message.MediaType(out.format))
		resp.SetBody(bytes.NewReader(out.body))
	}
	var busy *BusyError
	if errors.As(err, &busy) {
		resp.SetOptionUint32(message.MaxAge, uint32(busy.RetryAfter/time.Second)+1)
	}
	if out.code>>5 == 2 || out.code == codes.Unauthorized {
		p.Issued.SetEcho(resp)
	}
}

// name returns method and path of the request, without anything that the device chose.
func (r *request) name() string {
	if r.res == nil {
		return ""
	}
	return r.res.method.String() + " /" + r.res.path
}

func (s *Server) dispatch(ctx context.Context, r *request) (response, error) {
	if !r.peer.spendRequest(r.at) { // first, so that every request counts against the rate
		return response{}, &BusyError{RetryAfter: time.Second}
	}
	path, err := pathOf(r.msg)
	if err != nil {
		return response{}, err
	}
	res, param, err := find(path, r.msg.Code())
	if err != nil {
		return response{}, err
	}
	r.res, r.param = res, param
	if !res.allows(r.peer.Kind) {
		return response{}, ErrForbidden
	}
	if r.body, err = bodyInto(r.room[:], r.msg, res.limit); err != nil {
		return response{}, err
	}
	if err := r.negotiate(res); err != nil {
		return response{}, err
	}
	return res.serve(s, ctx, r)
}

// pathOf joins the Uri-Path options. No resource here has an empty segment or one with a slash.
func pathOf(m *pool.Message) (string, error) {
	var segments []string
	for _, o := range m.Options() {
		if o.ID != message.URIPath {
			continue
		}
		if len(o.Value) == 0 || bytes.IndexByte(o.Value, '/') >= 0 {
			return "", errNoResource
		}
		segments = append(segments, string(o.Value))
	}
	return strings.Join(segments, "/"), nil
}

// body reads at most limit bytes.
func body(m *pool.Message, limit int) ([]byte, error) { return bodyInto(nil, m, limit) }

// bodyInto does the same, and puts them into room if that is large enough.
func bodyInto(room []byte, m *pool.Message, limit int) ([]byte, error) {
	if m.Body() == nil {
		return nil, nil
	}
	n, err := m.BodySize()
	if err != nil || n > int64(limit) {
		return nil, errTooLong
	}
	if n == 0 {
		return nil, nil
	}
	if n > int64(len(room)) {
		room = make([]byte, n) // ReadBody allocates a kilobyte or more
	}
	b := room[:n]
	if _, err = m.Body().Seek(0, io.SeekStart); err == nil {
		_, err = io.ReadFull(m.Body(), b)
	}
	if err != nil {
		return nil, wire.ErrMalformed
	}
	return b, nil
}

// negotiate checks that the resource supports the Content-Format and the Accept option. Without
// Accept the answer has the format of the request.
func (r *request) negotiate(res *resource) error {
	if len(res.in) > 0 {
		r.in = res.in[0] // there is no body; the resource refuses that if it needs one
	}
	if len(res.out) > 0 {
		r.out = res.out[0]
	}
	cf, err := r.msg.ContentFormat()
	switch {
	case err == nil && slices.Contains(res.in, wire.Format(cf)):
		r.in = wire.Format(cf)
		if slices.Contains(res.out, r.in) {
			r.out = r.in
		}
	case len(r.body) > 0:
		return errContentFormat
	}
	if accept, err := r.msg.Accept(); err == nil && len(res.out) > 0 {
		if !slices.Contains(res.out, wire.Format(accept)) {
			return errNotAcceptable
		}
		r.out = wire.Format(accept)
	}
	return nil
}

// checkFresh checks that the request carries an Echo of ours and that its intent is within the
// window.
func (r *request) checkFresh(age int32) error {
	return r.peer.Issued.Check(EchoOf(r.msg), age, ScanWindow, r.at)
}

// checkIntent does the same for what somebody did at the node, and reports to Calls if it came
// late. n is the counter of the request.
func (s *Server) checkIntent(r *request, age int32, n uint64) error {
	err := r.checkFresh(age)
	if err == nil {
		return nil
	}
	var late *LateError
	if errors.As(err, &late) {
		s.Calls.Late(r.peer, n, late.After)
	}
	return err
}
