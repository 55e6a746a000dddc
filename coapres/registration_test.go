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

// RFC 9176 §5.3.1: an update that names no lifetime keeps the one before.
func TestUpdateKeepsTheLifetime(t *testing.T) {
	d := newDesk(t, keys.KindLock)
	location := locationOf(d.ask(codes.POST, "/rd", nil, query("lt=600")))
	for _, q := range [][]func(*pool.Message){nil, {query("lt=30")}, {query("ep=node")}} {
		if got := d.ask(codes.POST, location, nil, q...).Code(); got != codes.Changed {
			t.Errorf("update: got %s, want 2.04", got)
		}
	}
	for _, q := range []string{"lt=0", "lt=4294967296", "lt=-1", "lt=", "lt=1.5", "lt", "lt=+5"} {
		if got := d.ask(codes.POST, location, nil, query(q)).Code(); got != codes.BadRequest {
			t.Errorf("?%s: got %s, want 4.00", q, got)
		}
	}
	d.ask(codes.POST, location, nil)
	again := d.ask(codes.POST, "/rd", nil) // a registration that names none gets ours
	if got := locationOf(again); again.Code() != codes.Created || got != location {
		t.Errorf("registered again: got %s at %q, want 2.01 at %q", again.Code(), got, location)
	}
	want := []string{"registered 10m0s", "registered 10m0s", "registered 30s", "registered 30s",
		"registered 30s", "registered 1m30s"}
	if !slices.Equal(d.ledger.asked, want) {
		t.Errorf("got %v, want %v", d.ledger.asked, want)
	}
}

func TestRegistrationOfAnother(t *testing.T) {
	mine, other := newDesk(t, keys.KindLock), newDesk(t, keys.KindLock)
	mine.ask(codes.POST, "/rd", nil)
	location := locationOf(other.ask(codes.POST, "/rd", nil))
	if got := mine.ask(codes.POST, location, nil).Code(); got != codes.NotFound {
		t.Errorf("update: got %s, want 4.04", got)
	}
	if got := mine.ask(codes.DELETE, location, nil, mine.fresh()).Code(); got != codes.NotFound {
		t.Errorf("removal: got %s, want 4.04", got)
	}
	if slices.Contains(mine.ledger.asked, "left") || slices.Contains(other.ledger.asked, "left") {
		t.Error("somebody left")
	}
	if got := mine.ask(codes.POST, "/rd", nil, query("ep=")).Code(); got != codes.Forbidden {
		t.Errorf("an empty name: got %s, want 4.03", got)
	}
	if got := mine.ask(codes.POST, "/rd", nil, query("ep=node"),
		query("ep=node")).Code(); got != codes.BadRequest {
		t.Errorf("its name twice: got %s, want 4.00", got)
	}
	if got := mine.ask(codes.POST, "/rd", nil, query("base=coaps://elsewhere"), query("d=home"),
		query("et=x")).Code(); got != codes.Created {
		t.Errorf("parameters that we do not use: got %s, want 2.01", got)
	}
}

func TestFilterNeedsTheAttribute(t *testing.T) {
	d := newDesk(t, keys.KindReader)
	for _, q := range []string{"if", "if=", "if=*", "rt", "rt=", "href", "=", "", "ct=60"} {
		if got := bodyText(t, d.ask(codes.GET, "/.well-known/core", nil, query(q))); got != "" {
			t.Errorf("?%s: got %s, want no link", q, got)
		}
		d.peer = newDesk(t, keys.KindReader).peer
	}
	if got := bodyText(t, d.ask(codes.GET, "/.well-known/core", nil, query("rt=latchkey.*"),
		query("href=/s*"))); !strings.HasPrefix(got, "</scan>") {
		t.Errorf("two filters: got %s, want what fits both", got)
	}
}

// manyTargets is a house with more targets than a message can name.
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
	got := bodyText(t, d.ask(codes.GET, "/.well-known/core", nil))
	if len(got) > wire.MaxReport || len(got) < wire.MaxReport-100 || !strings.HasSuffix(got, `;ct="60 50"`) {
		t.Errorf("got %d bytes that end in %q, want whole links that nearly fill %d", len(got),
			got[max(0, len(got)-20):], wire.MaxReport)
	}
	if got := bodyText(t, d.ask(codes.GET, "/.well-known/core", nil,
		query("href=/act/target-099"))); !strings.HasPrefix(got, "</act/target-099>") {
		t.Errorf("a filter before the cut: got %q", got)
	}
}

// A path is its segments: a slash within one, or an empty one, is another path.
func TestHostilePaths(t *testing.T) {
	for _, c := range []struct {
		rule     string
		segments []string
		want     codes.Code
	}{
		{"as it should be", []string{"scan"}, codes.Unauthorized},
		{"an empty segment behind", []string{"scan", ""}, codes.NotFound},
		{"an empty segment before", []string{"", "scan"}, codes.NotFound},
		{"a slash behind", []string{"scan/"}, codes.NotFound},
		{"a slash before", []string{"/scan"}, codes.NotFound},
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
			t.Errorf("%s: asked %v", c.rule, d.ledger.asked)
		}
	}
}

// Every 2.xx and every 4.01 brings an Echo that is good for the next message; no two are alike.
func TestEchoOfEverySuccess(t *testing.T) {
	d := newDesk(t, keys.KindSwitch)
	seen := map[string]bool{}
	take := func(what string, m *pool.Message) {
		t.Helper()
		e := EchoOf(m)
		if len(e) != echoLen || seen[string(e)] {
			t.Errorf("%s: got Echo %x, want 8 new bytes", what, e)
		}
		seen[string(e)] = true
		if err := d.peer.Issued.Check(e, 0, ScanWindow, time.Now()); err != nil {
			t.Errorf("%s: its Echo: %v", what, err)
		}
	}
	registered := d.ask(codes.POST, "/rd", nil)
	take("2.01", registered)
	take("2.02", d.ask(codes.DELETE, locationOf(registered), nil, d.fresh()))
	take("2.04", d.ask(codes.POST, "/act/desk", actJSON, format(wire.JSON), d.fresh()))
	take("2.04 to a late report", d.ask(codes.POST, "/report", []byte(`[{"n":"rssi","v":1}]`), format(wire.SenMLJSON)))
	take("2.05", d.ask(codes.GET, "/act/desk", nil))
	take("4.01", d.ask(codes.POST, "/act/desk", actJSON, format(wire.JSON)))
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
		if got := d.ask(codes.POST, "/report", b, format(c.said), d.fresh()).Code(); got != c.want {
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
	if got := d.ask(codes.POST, "/report", b, format(wire.SenMLCBOR)).Code(); got != codes.BadRequest ||
		len(d.ledger.asked) > 0 {
		t.Errorf("an impossible age: got %s and asked %v, want 4.00", got, d.ledger.asked)
	}
}

// One line a second, however many requests are refused; the next second may say so again.
func TestComplaints(t *testing.T) {
	d := newDesk(t, keys.KindReader)
	for range 15 {
		d.ask(codes.POST, "/scan", scanJSON, format(wire.CBOR))
	}
	if got := strings.Count(d.log.String(), "\n"); got > 2 {
		t.Errorf("got %d lines, want one a second", got)
	}
	if log := d.log.String(); !strings.Contains(log, "device=node") ||
		!strings.Contains(log, "code=BadRequest") || strings.Contains(log, "04a1") {
		t.Errorf("got %s, want the device and the code, and nothing of the body", log)
	}
}
