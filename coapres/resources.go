package coapres

import (
	"context"
	"slices"
	"strings"

	"github.com/plgd-dev/go-coap/v3/message/codes"

	"latchkey/coapres/wire"
	"latchkey/keys"
)

// resource is one method of one path: who may call it, the formats of request and answer, and the
// function that serves it.
type resource struct {
	path   string // without the leading slash; a segment in braces matches any one segment
	method codes.Code
	kinds  []keys.Kind // nil: every kind
	limit  int         // bytes of body
	in     []wire.Format
	out    []wire.Format
	serve  func(*Server, context.Context, *request) (response, error)
}

// LinkFormat is application/link-format (RFC 6690).
const LinkFormat wire.Format = 40

var (
	plain   = []wire.Format{wire.CBOR, wire.JSON}
	senml   = []wire.Format{wire.SenMLCBOR, wire.SenMLJSON, wire.CBOR, wire.JSON}
	links   = []wire.Format{LinkFormat}
	readers = []keys.Kind{keys.KindReader}
	buttons = []keys.Kind{keys.KindSwitch}
)

// resources lists what each kind of device may call. All else is refused.
var resources = []resource{
	{".well-known/core", codes.GET, nil, 0, nil, links, (*Server).core},
	{"rd", codes.POST, nil, wire.MaxReport, links, nil, (*Server).register},
	{"rd/{id}", codes.POST, nil, wire.MaxReport, links, nil, (*Server).renew},
	{"rd/{id}", codes.DELETE, nil, 0, nil, nil, (*Server).leave},
	{"scan", codes.POST, readers, wire.MaxBody, plain, plain, (*Server).scan},
	{"act/{target}", codes.GET, buttons, 0, nil, plain, (*Server).state},
	{"act/{target}", codes.POST, buttons, wire.MaxBody, plain, plain, (*Server).act},
	{"report", codes.POST, nil, wire.MaxReport, senml, nil, (*Server).report},
}

func (r *resource) allows(k keys.Kind) bool {
	if r.kinds == nil {
		return slices.Contains(keys.Kinds, k)
	}
	return slices.Contains(r.kinds, k)
}

// match tells whether a path fits the resource, and returns the segment in the place of the braces.
func (r *resource) match(path string) (param string, ok bool) {
	head, _, braces := strings.Cut(r.path, "{")
	if !braces {
		return "", path == r.path
	}
	param, ok = strings.CutPrefix(path, head)
	return param, ok && param != "" && !strings.Contains(param, "/")
}

func find(path string, method codes.Code) (*resource, string, error) {
	err := errNoResource
	for i := range resources {
		param, ok := resources[i].match(path)
		if !ok {
			continue
		}
		if resources[i].method == method {
			return &resources[i], param, nil
		}
		err = errMethod
	}
	return nil, "", err
}

func (s *Server) scan(ctx context.Context, r *request) (response, error) {
	scan, err := wire.ParseScan(r.in, r.body)
	if err != nil {
		return response{}, err
	}
	if err := s.checkIntent(r, scan.Age, scan.N); err != nil {
		return response{}, err
	}
	v, err := s.Calls.Scan(ctx, r.peer, scan, r.at)
	if err != nil {
		return response{}, err
	}
	return encoded(codes.Changed, r.out, v)
}

func (s *Server) act(ctx context.Context, r *request) (response, error) {
	a, err := wire.ParseAct(r.in, r.body)
	if err != nil {
		return response{}, err
	}
	if err := s.checkIntent(r, a.Age, a.N); err != nil {
		return response{}, err
	}
	v, err := s.Calls.Act(ctx, r.peer, r.param, a, r.at)
	if err != nil {
		return response{}, err
	}
	return encoded(codes.Changed, r.out, v)
}

func (s *Server) state(_ context.Context, r *request) (response, error) {
	st, err := s.Calls.State(r.peer, r.param)
	if err != nil {
		return response{}, err
	}
	return encoded(codes.Content, r.out, st)
}

func (s *Server) report(_ context.Context, r *request) (response, error) {
	f := r.in
	switch f {
	case wire.CBOR:
		f = wire.SenMLCBOR
	case wire.JSON:
		f = wire.SenMLJSON
	}
	rep, err := wire.ParseReport(f, r.body)
	if err != nil {
		return response{}, err
	}
	err = r.checkFresh(rep.Age)
	if err != nil && codeOf(err) != codes.Unauthorized {
		return response{}, err
	}
	s.Calls.Report(r.peer, rep, err != nil) // a late report is kept as late and changes no state
	return response{code: codes.Changed}, nil
}

func encoded(code codes.Code, f wire.Format, v interface {
	Encode(wire.Format) ([]byte, error)
}) (response, error) {
	b, err := v.Encode(f)
	if err != nil {
		return response{}, err
	}
	return response{code: code, format: f, body: b}, nil
}
