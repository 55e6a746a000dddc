package coapres

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/message/pool"

	"latchkey/coapres/wire"
	"latchkey/keys"
)

func locationOf(m *pool.Message) string {
	var s string
	for _, o := range m.Options() {
		if o.ID == message.LocationPath {
			s += "/" + string(o.Value)
		}
	}
	return s
}

// An update without a lifetime keeps the one before (RFC 9176 §5.3.1).
func TestUpdateKeepsTheLifetime(t *testing.T) {
	d := newDesk(t, keys.KindLock)
	location := locationOf(d.sendRequest(codes.POST, "/rd", nil, withQuery("lt=600")))
	for _, q := range [][]func(*pool.Message){nil, {withQuery("lt=30")}, {withQuery("ep=node")}} {
		if got := d.sendRequest(codes.POST, location, nil, q...).Code(); got != codes.Changed {
			t.Errorf("update: got %s, want 2.04", got)
		}
	}
	for _, q := range []string{"lt=0", "lt=4294967296", "lt=-1", "lt=", "lt=1.5", "lt", "lt=+5"} {
		if got := d.sendRequest(codes.POST, location, nil, withQuery(q)).Code(); got != codes.BadRequest {
			t.Errorf("?%s: got %s, want 4.00", q, got)
		}
	}
	d.sendRequest(codes.POST, location, nil)
	again := d.sendRequest(codes.POST, "/rd", nil) // a registration without a lifetime gets the default
	if got := locationOf(again); again.Code() != codes.Created || got != location {
		t.Errorf("registered again: got %s at %q, want 2.01 at %q", again.Code(), got, location)
	}
	want := []string{"registered 10m0s", "registered 10m0s", "registered 30s", "registered 30s",
		"registered 30s", "registered 1m30s"}
	if !slices.Equal(d.ledger.asked, want) {
		t.Errorf("got %v, want %v", d.ledger.asked, want)
	}
}

func TestRegistrationOfAnotherDevice(t *testing.T) {
	mine, other := newDesk(t, keys.KindLock), newDesk(t, keys.KindLock)
	mine.sendRequest(codes.POST, "/rd", nil)
	location := locationOf(other.sendRequest(codes.POST, "/rd", nil))
	if got := mine.sendRequest(codes.POST, location, nil).Code(); got != codes.NotFound {
		t.Errorf("update: got %s, want 4.04", got)
	}
	if got := mine.sendRequest(codes.DELETE, location, nil,
		mine.withFreshEcho()).Code(); got != codes.NotFound {
		t.Errorf("removal: got %s, want 4.04", got)
	}
	if slices.Contains(mine.ledger.asked, "left") || slices.Contains(other.ledger.asked, "left") {
		t.Error("a registration was removed")
	}
	if got := mine.sendRequest(codes.POST, "/rd", nil, withQuery("ep=")).Code(); got != codes.Forbidden {
		t.Errorf("an empty name: got %s, want 4.03", got)
	}
	if got := mine.sendRequest(codes.POST, "/rd", nil, withQuery("ep=node"),
		withQuery("ep=node")).Code(); got != codes.BadRequest {
		t.Errorf("the name twice: got %s, want 4.00", got)
	}
	if got := mine.sendRequest(codes.POST, "/rd", nil, withQuery("base=coaps://elsewhere"),
		withQuery("d=home"),
		withQuery("et=x")).Code(); got != codes.Created {
		t.Errorf("parameters that we do not use: got %s, want 2.01", got)
	}
}

func TestFilterNeedsTheAttribute(t *testing.T) {
	d := newDesk(t, keys.KindReader)
	for _, q := range []string{"if", "if=", "if=*", "rt", "rt=", "href", "=", "", "ct=60"} {
		if got := readText(t, d.sendRequest(codes.GET, "/.well-known/core", nil, withQuery(q))); got != "" {
			t.Errorf("?%s: got %s, want no link", q, got)
		}
		d.peer = newDesk(t, keys.KindReader).peer
	}
	if got := readText(t, d.sendRequest(codes.GET, "/.well-known/core", nil, withQuery("rt=latchkey.*"),
		withQuery("href=/s*"))); !strings.HasPrefix(got, "</scan>") {
		t.Errorf("two filters: got %s, want the link that matches both", got)
	}
}

// manyTargets is a gateway with more targets than one message can list.
type manyTargets struct{ *ledger }

func (manyTargets) Targets(*Peer) []string {
	names := make([]string, 100)
	for i := range names {
		names[i] = fmt.Sprintf("target-%03d", i)
	}
	return names
}

func TestLinksThatDoNotFit(t *testing.T) {
	d := newDesk(t, keys.KindSwitch)
	d.server.Calls = manyTargets{d.ledger}
	got := readText(t, d.sendRequest(codes.GET, "/.well-known/core", nil))
	if len(got) > wire.MaxReport || len(got) < wire.MaxReport-100 || !strings.HasSuffix(got, `;ct="60 50"`) {
		t.Errorf("got %d bytes that end in %q, want whole links that nearly fill %d", len(got),
			got[max(0, len(got)-20):], wire.MaxReport)
	}
	if got := readText(t, d.sendRequest(codes.GET, "/.well-known/core", nil,
		withQuery("href=/act/target-099"))); !strings.HasPrefix(got, "</act/target-099>") {
		t.Errorf("a filter: got %q, want a link that did not fit before", got)
	}
}

// A path consists of its segments: a slash in a segment, or an empty segment, makes it another
// path.
func TestHostilePaths(t *testing.T) {
	for _, c := range []struct {
		rule     string
		segments []string
		want     codes.Code
	}{
		{"the right path", []string{"scan"}, codes.Unauthorized},
		{"an empty segment at the end", []string{"scan", ""}, codes.NotFound},
		{"an empty segment at the beginning", []string{"", "scan"}, codes.NotFound},
		{"a slash at the end", []string{"scan/"}, codes.NotFound},
		{"a slash at the beginning", []string{"/scan"}, codes.NotFound},
		{"two segments in one", []string{"act/desk"}, codes.NotFound},
		{"a target with a slash", []string{"act", "desk/.."}, codes.NotFound},
		{"no target", []string{"act"}, codes.NotFound},
		{"an empty target", []string{"act", ""}, codes.NotFound},
		{"dots", []string{"act", "..", "scan"}, codes.NotFound},
		{"another case", []string{"Scan"}, codes.NotFound},
		{"a zero byte", []string{"scan\x00"}, codes.NotFound},
		{"not UTF-8", []string{"sc\xffn"}, codes.NotFound},
		{"a hundred segments", make([]string, 100), codes.NotFound},
		{"braces", []string{"rd", "{id}"}, codes.NotFound},
	} {
		d := newDesk(t, keys.KindReader)
		req, resp := pool.NewMessage(context.Background()), pool.NewMessage(context.Background())
		req.SetCode(codes.POST)
		for _, s := range c.segments {
			req.AddOptionBytes(message.URIPath, []byte(s))
		}
		req.SetContentFormat(message.MediaType(wire.JSON))
		req.SetBody(strings.NewReader(string(scanJSON)))
		if len(c.segments) == 2 && c.segments[0] == "rd" {
			req.SetContentFormat(message.MediaType(LinkFormat))
		}
		d.server.Serve(context.Background(), d.peer, req, resp, time.Now())
		if got := resp.Code(); got != c.want {
			t.Errorf("%s: got %s, want %s", c.rule, got, c.want)
		}
		if len(d.ledger.asked) > 0 {
			t.Errorf("%s: the gateway was asked %v, want nothing", c.rule, d.ledger.asked)
		}
	}
}

// Every 2.xx and every 4.01 has a new Echo, which is valid for the next message.
func TestEchoOfEverySuccess(t *testing.T) {
	d := newDesk(t, keys.KindSwitch)
	seen := map[string]bool{}
	checkEcho := func(what string, m *pool.Message) {
		t.Helper()
		e := EchoOf(m)
		if len(e) != echoLen || seen[string(e)] {
			t.Errorf("%s: got Echo %x, want 8 new bytes", what, e)
		}
		seen[string(e)] = true
		if err := d.peer.Issued.Check(e, 0, ScanWindow, time.Now()); err != nil {
			t.Errorf("%s: the Echo is not valid: %v", what, err)
		}
	}
	registered := d.sendRequest(codes.POST, "/rd", nil)
	checkEcho("2.01", registered)
	checkEcho("2.02", d.sendRequest(codes.DELETE, locationOf(registered), nil, d.withFreshEcho()))
	checkEcho("2.04", d.sendRequest(codes.POST, "/act/desk", actJSON, withFormat(wire.JSON),
		d.withFreshEcho()))
	checkEcho("2.04 to a late report",
		d.sendRequest(codes.POST, "/report", []byte(`[{"n":"rssi","v":1}]`), withFormat(wire.SenMLJSON)))
	checkEcho("2.05", d.sendRequest(codes.GET, "/act/desk", nil))
	checkEcho("4.01", d.sendRequest(codes.POST, "/act/desk", actJSON, withFormat(wire.JSON)))
}

func TestReportFormats(t *testing.T) {
	age := int32(-5)
	r := wire.Report{Age: age, Measurements: []wire.Measurement{{Name: "contact", Type: wire.FlagValue,
		Flag: true}}}
	for _, c := range []struct {
		said wire.Format
		as   wire.Format
		want codes.Code
	}{
		{wire.SenMLCBOR, wire.SenMLCBOR, codes.Changed}, {wire.SenMLJSON, wire.SenMLJSON, codes.Changed},
		{wire.CBOR, wire.SenMLCBOR, codes.Changed}, {wire.JSON, wire.SenMLJSON, codes.Changed},
		{wire.SenMLCBOR, wire.SenMLJSON, codes.BadRequest}, {wire.SenMLJSON, wire.SenMLCBOR,
			codes.BadRequest},
		{LinkFormat, wire.SenMLCBOR, codes.UnsupportedMediaType},
	} {
		b, err := r.Encode(c.as)
		if err != nil {
			t.Fatal(err)
		}
		d := newDesk(t, keys.KindSensor)
		if got := d.sendRequest(codes.POST, "/report", b, withFormat(c.said),
			d.withFreshEcho()).Code(); got != c.want {
			t.Errorf("%d said to be %d: got %s, want %s", c.as, c.said, got, c.want)
		}
		if slices.Contains(d.ledger.asked, "late") {
			t.Errorf("%d said to be %d: late, with an Echo of this moment", c.as, c.said)
		}
	}
	d := newDesk(t, keys.KindSensor)
	b, err := wire.Report{Age: 601_001, Measurements: r.Measurements}.Encode(wire.SenMLCBOR)
	if err != nil {
		t.Fatal(err)
	}
	if got := d.sendRequest(codes.POST, "/report", b,
		withFormat(wire.SenMLCBOR)).Code(); got != codes.BadRequest ||
		len(d.ledger.asked) > 0 {
		t.Errorf("an impossible age: got %s and asked %v, want 4.00", got, d.ledger.asked)
	}
}

// However many requests are refused, one line a second is logged.
func TestComplaints(t *testing.T) {
	d := newDesk(t, keys.KindReader)
	for range 15 {
		d.sendRequest(codes.POST, "/scan", scanJSON, withFormat(wire.CBOR))
	}
	if got := strings.Count(d.log.String(), "\n"); got > 2 {
		t.Errorf("got %d lines, want at most one a second", got)
	}
	if log := d.log.String(); !strings.Contains(log, "device=node") ||
		!strings.Contains(log, "code=BadRequest") || strings.Contains(log, "04a1") {
		t.Errorf("got %s, want the device and the code, and no part of the body", log)
	}
}
