package coapres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/message/pool"

	"latchkey/coapres/wire"
	"latchkey/keys"
)

// ledger is a gateway that records the calls to it.
type ledger struct {
	asked   []string
	late    []string
	scan    wire.Scan
	act     wire.Act
	verdict wire.Verdict
	err     error
}

func (l *ledger) note(s string) { l.asked = append(l.asked, s) }

func (l *ledger) Scan(_ context.Context, _ *Peer, s wire.Scan, _ time.Time) (wire.Verdict, error) {
	l.note("scan")
	l.scan = s
	return l.verdict, l.err
}

func (l *ledger) Act(_ context.Context, _ *Peer, target string, a wire.Act, _ time.Time) (wire.Verdict,
	error) {
	l.note("act " + target)
	l.act = a
	return l.verdict, l.err
}

func (l *ledger) State(_ *Peer, target string) (wire.State, error) {
	l.note("state " + target)
	return wire.State{On: true, Level: 100}, l.err
}

func (l *ledger) Late(_ *Peer, n uint64, after time.Duration) {
	l.late = append(l.late, fmt.Sprintf("%d after %v", n, after.Round(time.Second)))
}

func (l *ledger) Registered(_ *Peer, lifetime time.Duration) {
	l.note("registered " + lifetime.String())
}
func (l *ledger) Left(*Peer) { l.note("left") }
func (l *ledger) Report(_ *Peer, r wire.Report, late bool) {
	l.note("report")
	if late {
		l.note("late")
	}
}
func (l *ledger) Targets(*Peer) []string { return []string{"desk", "hall"} }

// desk is a server with one peer, without a network.
type desk struct {
	t      *testing.T
	server *Server
	ledger *ledger
	peer   *Peer
	log    *bytes.Buffer
}

func newDesk(t *testing.T, kind keys.Kind) *desk {
	d := &desk{t: t, ledger: &ledger{}, log: &bytes.Buffer{},
		peer: NewPeer("dev0000000", "node", kind, keys.ID("lk-0000000000"), "192.0.2.1:5684#1", nil)}
	d.server = &Server{Calls: d.ledger, Log: slog.New(slog.NewTextHandler(d.log,
		&slog.HandlerOptions{Level: slog.LevelDebug}))}
	return d
}

// sendRequest makes one request, to which options are applied.
func (d *desk) sendRequest(method codes.Code, path string, body []byte,
	options ...func(*pool.Message)) *pool.Message {
	d.t.Helper()
	req := pool.NewMessage(context.Background())
	req.SetCode(method)
	req.SetType(message.Confirmable)
	if err := req.SetPath(path); err != nil {
		d.t.Fatal(err)
	}
	if body != nil {
		req.SetBody(bytes.NewReader(body))
	}
	for _, o := range options {
		o(req)
	}
	resp := pool.NewMessage(context.Background())
	d.server.Serve(context.Background(), d.peer, req, resp, time.Now())
	return resp
}

func withFormat(f wire.Format) func(*pool.Message) {
	return func(m *pool.Message) { m.SetContentFormat(message.MediaType(f)) }
}

func withAccept(f wire.Format) func(*pool.Message) {
	return func(m *pool.Message) { m.SetAccept(message.MediaType(f)) }
}

func withQuery(q string) func(*pool.Message) { return func(m *pool.Message) { m.AddQuery(q) } }

// withFreshEcho adds an Echo that was just issued.
func (d *desk) withFreshEcho() func(*pool.Message) {
	e := d.peer.Issued.Issue(time.Now())
	return func(m *pool.Message) { m.SetOptionBytes(optionEcho, e[:]) }
}

func readText(t *testing.T, m *pool.Message) string {
	t.Helper()
	b, err := body(m, wire.MaxReport)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var (
	scanJSON = []byte(`{"n":1,"uid":"04a1b2c3d4e580"}`)
	actJSON  = []byte(`{"n":1,"action":"toggle"}`)
)

func TestWhatEachKindMayCall(t *testing.T) {
	calls := []struct {
		method codes.Code
		path   string
		body   []byte
		format wire.Format
		kinds  []keys.Kind
		want   codes.Code
	}{
		{codes.GET, "/.well-known/core", nil, 0, keys.Kinds, codes.Content},
		{codes.POST, "/rd", nil, 0, keys.Kinds, codes.Created},
		{codes.POST, "/scan", scanJSON, wire.JSON, []keys.Kind{keys.KindReader}, codes.Changed},
		{codes.POST, "/act/desk", actJSON, wire.JSON, []keys.Kind{keys.KindSwitch}, codes.Changed},
		{codes.GET, "/act/desk", nil, 0, []keys.Kind{keys.KindSwitch}, codes.Content},
		{codes.POST, "/report", []byte(`[{"n":"rssi","v":-61}]`), wire.SenMLJSON, keys.Kinds, codes.Changed},
	}
	for _, c := range calls {
		for _, k := range append(slices.Clone(keys.Kinds), "", "enrol") {
			d := newDesk(t, k)
			opts := []func(*pool.Message){d.withFreshEcho()}
			if c.body != nil {
				opts = append(opts, withFormat(c.format))
			}
			want := c.want
			if !slices.Contains(c.kinds, k) {
				want = codes.Forbidden
			}
			if got := d.sendRequest(c.method, c.path, c.body, opts...).Code(); got != want {
				t.Errorf("%s %s by %q: got %s, want %s", c.method, c.path, k, got, want)
			}
			if want == codes.Forbidden && len(d.ledger.asked) > 0 {
				t.Errorf("%s %s by %q: refused, but the gateway was asked %v", c.method, c.path, k,
					d.ledger.asked)
			}
		}
	}
}

func TestRefusals(t *testing.T) {
	long := bytes.Repeat([]byte("x"), wire.MaxBody+1)
	for _, c := range []struct {
		rule   string
		method codes.Code
		path   string
		body   []byte
		opts   []func(*pool.Message)
		want   codes.Code
	}{
		{"an unknown resource", codes.GET, "/nothing", nil, nil, codes.NotFound},
		{"a longer path", codes.POST, "/scan/more", scanJSON, nil, codes.NotFound},
		{"no path", codes.GET, "/", nil, nil, codes.NotFound},
		{"a method that the resource does not have", codes.GET, "/scan", nil, nil, codes.MethodNotAllowed},
		{"a method of RFC 8132", codes.Code(5), "/scan", scanJSON, nil, codes.MethodNotAllowed},
		{"a body without a format", codes.POST, "/scan", scanJSON, nil, codes.UnsupportedMediaType},
		{"an unknown format", codes.POST, "/scan", scanJSON, []func(*pool.Message){withFormat(0)},
			codes.UnsupportedMediaType},
		{"an unknown format in Accept", codes.POST, "/scan", scanJSON,
			[]func(*pool.Message){withFormat(wire.JSON), withAccept(0)}, codes.NotAcceptable},
		{"a body too long", codes.POST, "/scan", long, []func(*pool.Message){withFormat(wire.JSON)},
			codes.RequestEntityTooLarge},
		{"no body", codes.POST, "/scan", nil, nil, codes.BadRequest},
		{"malformed JSON", codes.POST, "/scan", []byte(`{"n":1`),
			[]func(*pool.Message){withFormat(wire.JSON)}, codes.BadRequest},
		{"JSON with the format CBOR", codes.POST, "/scan", scanJSON,
			[]func(*pool.Message){withFormat(wire.CBOR)},
			codes.BadRequest},
		{"an unknown field", codes.POST, "/scan", []byte(`{"n":1,"uid":"04a1b2c3","door":"any"}`),
			[]func(*pool.Message){withFormat(wire.JSON)}, codes.BadRequest},
		{"a field twice", codes.POST, "/scan", []byte(`{"n":1,"n":2,"uid":"04a1b2c3"}`),
			[]func(*pool.Message){withFormat(wire.JSON)}, codes.BadRequest},
		{"counter zero", codes.POST, "/scan", []byte(`{"n":0,"uid":"04a1b2c3"}`),
			[]func(*pool.Message){withFormat(wire.JSON)}, codes.BadRequest},
		{"a UID of five bytes", codes.POST, "/scan", []byte(`{"n":1,"uid":"04a1b2c3d4"}`),
			[]func(*pool.Message){withFormat(wire.JSON)}, codes.BadRequest},
		{"an impossible age", codes.POST, "/scan", []byte(`{"n":1,"uid":"04a1b2c3","age":601001}`),
			[]func(*pool.Message){withFormat(wire.JSON)}, codes.BadRequest},
		{"no Echo", codes.POST, "/scan", scanJSON, []func(*pool.Message){withFormat(wire.JSON)},
			codes.Unauthorized},
		{"the name of another device", codes.POST, "/rd", nil, []func(*pool.Message){withQuery("ep=other")},
			codes.Forbidden},
		{"a lifetime of zero", codes.POST, "/rd", nil, []func(*pool.Message){withQuery("lt=0")},
			codes.BadRequest},
		{"a lifetime that is no number", codes.POST, "/rd", nil, []func(*pool.Message){withQuery("lt=long")},
			codes.BadRequest},
		{"two lifetimes", codes.POST, "/rd", nil, []func(*pool.Message){withQuery("lt=1"), withQuery("lt=2")},
			codes.BadRequest},
		{"links that are not text", codes.POST, "/rd", []byte{0xff},
			[]func(*pool.Message){withFormat(LinkFormat)}, codes.BadRequest},
		{"an unknown registration", codes.POST, "/rd/none", nil, nil, codes.NotFound},
		{"the removal of a registration without an Echo", codes.DELETE, "/rd/none", nil, nil,
			codes.Unauthorized},
		{"a report that is not SenML", codes.POST, "/report", []byte(`{"v":1}`),
			[]func(*pool.Message){withFormat(wire.SenMLJSON)}, codes.BadRequest},
	} {
		d := newDesk(t, keys.KindReader)
		resp := d.sendRequest(c.method, c.path, c.body, c.opts...)
		if got := resp.Code(); got != c.want {
			t.Errorf("%s: got %s, want %s", c.rule, got, c.want)
		}
		if len(d.ledger.asked) > 0 {
			t.Errorf("%s: refused, but the gateway was asked %v", c.rule, d.ledger.asked)
		}
		if _, err := resp.GetOptionBytes(optionEcho); (err == nil) != (c.want == codes.Unauthorized) {
			t.Errorf("%s: got an Echo: %v, want one only with 4.01", c.rule, err == nil)
		}
		if log := d.log.String(); strings.Contains(log, "a1b2c3") || strings.Count(log, "\n") > 1 {
			t.Errorf("%s: got log %q, want one line at most and no part of the body", c.rule, log)
		}
	}
}

func TestScanInBothFormats(t *testing.T) {
	cbor, err := wire.Scan{N: 1, UID: []byte{4, 1, 2, 3}}.Encode(wire.CBOR)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		rule     string
		body     []byte
		in, want wire.Format
		opts     []func(*pool.Message)
	}{
		{"CBOR is answered in CBOR", cbor, wire.CBOR, wire.CBOR, nil},
		{"JSON is answered in JSON", scanJSON, wire.JSON, wire.JSON, nil},
		{"JSON is answered in CBOR if Accept says so", scanJSON, wire.JSON, wire.CBOR,
			[]func(*pool.Message){withAccept(wire.CBOR)}},
		{"elective options are ignored", cbor, wire.CBOR, wire.CBOR, []func(*pool.Message){
			func(m *pool.Message) { m.SetOptionBytes(292, []byte{1}) },
			func(m *pool.Message) { m.SetOptionUint32(60, 9000) }}},
	} {
		d := newDesk(t, keys.KindReader)
		d.ledger.verdict = wire.Verdict{Verdict: wire.Granted, Last: 1}
		resp := d.sendRequest(codes.POST, "/scan", c.body,
			append(c.opts, withFormat(c.in), d.withFreshEcho())...)
		if resp.Code() != codes.Changed {
			t.Errorf("%s: got %s", c.rule, resp.Code())
			continue
		}
		if f, err := resp.ContentFormat(); err != nil || wire.Format(f) != c.want {
			t.Errorf("%s: got format %d, %v, want %d", c.rule, f, err, c.want)
		}
		v, err := wire.ParseVerdict(c.want, []byte(readText(t, resp)))
		if err != nil || v != d.ledger.verdict {
			t.Errorf("%s: got %+v, %v, want %+v", c.rule, v, err, d.ledger.verdict)
		}
		if e, err := resp.GetOptionBytes(optionEcho); err != nil || len(e) != echoLen {
			t.Errorf("%s: got Echo %x, want 8 bytes", c.rule, e)
		}
	}
}

func TestCodesOfTheGatewaysErrors(t *testing.T) {
	for _, c := range []struct {
		err  error
		want codes.Code
		why  string
	}{
		// A node does not learn the gateway's errors.
		{errors.New("the disk is full"), codes.ServiceUnavailable, "could not decide"},
		{ErrNotFound, codes.NotFound, "no such thing for this device"},
		{&BusyError{RetryAfter: 9500 * time.Millisecond}, codes.TooManyRequests, "over its rate"},
	} {
		d := newDesk(t, keys.KindReader)
		d.ledger.err = c.err
		resp := d.sendRequest(codes.POST, "/scan", scanJSON, withFormat(wire.JSON), d.withFreshEcho())
		if resp.Code() != c.want || readText(t, resp) != c.why {
			t.Errorf("%v: got %s %q, want %s %q", c.err, resp.Code(), readText(t, resp), c.want, c.why)
		}
		if age, err := resp.Options().GetUint32(message.MaxAge); c.want == codes.TooManyRequests &&
			(err != nil || age != 10) {
			t.Errorf("%v: got Max-Age %d, %v, want 10", c.err, age, err)
		}
	}
}

func TestRateOfOnePeer(t *testing.T) {
	// A path that is served, one that does not exist, and one that a reader may not use.
	for _, path := range []string{"/.well-known/core", "/nothing", "/act/front-door"} {
		d := newDesk(t, keys.KindReader)
		refused := 0
		for range 200 {
			if resp := d.sendRequest(codes.GET, path, nil); resp.Code() == codes.TooManyRequests {
				refused++
				if age, err := resp.Options().GetUint32(message.MaxAge); err != nil || age == 0 {
					t.Fatalf("%s: got Max-Age %d, %v, want one", path, age, err)
				}
			}
		}
		if refused < 150 {
			t.Errorf("%s: got %d of 200 refused, want all above the burst", path, refused)
		}
		if got := strings.Count(d.log.String(), "\n"); got > 2 {
			t.Errorf("%s: got %d log lines in less than a second, want one", path, got)
		}
	}
}

func TestRegistration(t *testing.T) {
	d := newDesk(t, keys.KindLock)
	resp := d.sendRequest(codes.POST, "/rd", []byte(`</act>;rt="latchkey.act"`), withFormat(LinkFormat),
		withQuery("ep=node"), withQuery("lt=90"))
	location := ""
	for _, o := range resp.Options() {
		if o.ID == message.LocationPath {
			location += "/" + string(o.Value)
		}
	}
	if resp.Code() != codes.Created || !strings.HasPrefix(location, "/rd/") || len(location) < 6 {
		t.Fatalf("got %s at %q, want 2.01 at /rd/…", resp.Code(), location)
	}
	if got := d.sendRequest(codes.POST, location, nil,
		withQuery("lt=4294967295")).Code(); got != codes.Changed {
		t.Errorf("update: got %s, want 2.04", got)
	}
	if got := d.sendRequest(codes.DELETE, location, nil).Code(); got != codes.Unauthorized {
		t.Errorf("removal without an Echo: got %s, want 4.01", got)
	}
	if got := d.sendRequest(codes.DELETE, location, nil, d.withFreshEcho()).Code(); got != codes.Deleted {
		t.Errorf("removal: got %s, want 2.02", got)
	}
	if got := d.sendRequest(codes.POST, location, nil).Code(); got != codes.NotFound {
		t.Errorf("update after removal: got %s, want 4.04", got)
	}
	if want := []string{"registered 1m30s", "registered 24h0m0s", "left"}; !slices.Equal(d.ledger.asked,
		want) {
		t.Errorf("got %v, want %v", d.ledger.asked, want)
	}
}

// A lock's registration contains its longest pulse. An update keeps it, and a new registration
// without it removes it.
func TestRegistrationHasTheLongestPulse(t *testing.T) {
	d := newDesk(t, keys.KindLock)
	d.sendRequest(codes.POST, "/rd", []byte(ActLink(10*time.Second)), withFormat(LinkFormat))
	if got := d.peer.MaxPulse(); got != 10*time.Second {
		t.Errorf("got %v, want 10s", got)
	}
	d.sendRequest(codes.POST, "/rd/"+d.peer.registration, nil)
	if got := d.peer.MaxPulse(); got != 10*time.Second {
		t.Errorf("after an update: got %v, want 10s", got)
	}
	d.sendRequest(codes.POST, "/rd", nil)
	if got := d.peer.MaxPulse(); got != 0 {
		t.Errorf("after a registration without it: got %v, want it unknown, 0", got)
	}
}

// A scan that was delayed is refused and reported to the gateway. A scan without an Echo, like the
// first of a session, is refused but not reported.
func TestLateScansAreReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, keys.KindReader)
		d.sendRequest(codes.POST, "/scan", scanJSON, withFormat(wire.JSON))
		e := d.peer.Issued.Issue(time.Now())
		echo := func(m *pool.Message) { m.SetOptionBytes(optionEcho, e[:]) }
		time.Sleep(5 * time.Second)
		if got := d.sendRequest(codes.POST, "/scan", scanJSON, withFormat(wire.JSON),
			echo).Code(); got != codes.Unauthorized {
			t.Errorf("got %s, want 4.01", got)
		}
		if want := []string{"1 after 5s"}; !slices.Equal(d.ledger.late, want) || len(d.ledger.asked) > 0 {
			t.Errorf("got %q and %q, want only %q", d.ledger.late, d.ledger.asked, want)
		}
	})
}

func TestCoreLinks(t *testing.T) {
	for _, c := range []struct {
		kind  keys.Kind
		query string
		want  string
	}{
		{keys.KindReader, "", `</rd>;rt="core.rd";ct="40",</report>;rt="latchkey.report";ct="112 110",</scan>;rt="latchkey.scan";ct="60 50"`},
		{keys.KindReader, "rt=latchkey.scan", `</scan>;rt="latchkey.scan";ct="60 50"`},
		{keys.KindReader, "rt=latchkey.*",
			`</report>;rt="latchkey.report";ct="112 110",</scan>;rt="latchkey.scan";ct="60 50"`},
		{keys.KindReader, "if=*", ""},
		{keys.KindReader, "colour=red", ""},
		{keys.KindSwitch, "if=core.a",
			`</act/desk>;rt="latchkey.act";if="core.a";ct="60 50",</act/hall>;rt="latchkey.act";if="core.a";ct="60 50"`},
		{keys.KindSwitch, "href=/act/d*", `</act/desk>;rt="latchkey.act";if="core.a";ct="60 50"`},
		{keys.KindLock, "href=/scan", ""},
	} {
		d := newDesk(t, c.kind)
		var opts []func(*pool.Message)
		if c.query != "" {
			opts = append(opts, withQuery(c.query))
		}
		resp := d.sendRequest(codes.GET, "/.well-known/core", nil, opts...)
		if got := readText(t, resp); resp.Code() != codes.Content || got != c.want {
			t.Errorf("%s ?%s: got %s %s\nwant %s", c.kind, c.query, resp.Code(), got, c.want)
		}
	}
}

func TestReportWithoutAnEchoIsLate(t *testing.T) {
	d := newDesk(t, keys.KindSensor)
	pack := []byte(`[{"n":"contact","vb":true}]`)
	d.sendRequest(codes.POST, "/report", pack, withFormat(wire.SenMLJSON))
	d.sendRequest(codes.POST, "/report", pack, withFormat(wire.SenMLJSON), d.withFreshEcho())
	d.sendRequest(codes.POST, "/report", pack, withFormat(wire.JSON), d.withFreshEcho())
	if want := []string{"report", "late", "report", "report"}; !slices.Equal(d.ledger.asked, want) {
		t.Errorf("got %v, want %v", d.ledger.asked, want)
	}
}
