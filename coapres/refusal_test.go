package coapres

import (
	"bufio"
	"encoding/hex"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/message/pool"

	"latchkey/coapres/wire"
	"latchkey/keys"
)

// A refusal names the member or option in a short text without a Content-Format (RFC 7252 §5.5.2),
// and Peer.Refused is called with it.
func TestRefusalsSayWhy(t *testing.T) {
	d := newDesk(t, keys.KindReader)
	var told []Refusal
	d.peer.Refused = func(r Refusal) { told = append(told, r) }
	old := func(m *pool.Message) { m.SetOptionBytes(optionEcho, []byte("12345678")) }
	for _, c := range []struct {
		method  codes.Code
		path    string
		body    string
		opts    []func(*pool.Message)
		code    string
		why     string
		request string
	}{
		{codes.POST, "/scan", `{"n":0,"uid":"04a1b2c3d4e580"}`, []func(*pool.Message){withFormat(wire.JSON)},
			"4.00", "scan: n is out of range", "POST /scan"},
		{codes.POST, "/scan", `{"n":1}`, []func(*pool.Message){withFormat(wire.JSON)}, "4.00",
			"scan: uid is missing", "POST /scan"},
		{codes.POST, "/scan", "\xa3\x01\x01\x02\x44\x01\x02\x03\x04\x18\x20\x01",
			[]func(*pool.Message){withFormat(wire.CBOR)}, "4.00", "scan: unknown key 32", "POST /scan"},
		{codes.POST, "/scan", `{"n":1,"uid":"04a1b2c3d4e580","age":700000}`,
			[]func(*pool.Message){withFormat(wire.JSON), d.withFreshEcho()}, "4.00", "age is out of bounds",
			"POST /scan"},
		{codes.POST, "/scan", string(scanJSON), []func(*pool.Message){withFormat(wire.JSON)}, "4.01",
			"no Echo", "POST /scan"},
		{codes.POST, "/scan", string(scanJSON), []func(*pool.Message){withFormat(wire.JSON), old}, "4.01",
			"not fresh: Echo and age", "POST /scan"},
		{codes.POST, "/act/front-door", string(actJSON), []func(*pool.Message){withFormat(wire.JSON)}, "4.03",
			"this device may not call this", "POST /act/{target}"},
		{codes.POST, "/rd", "", []func(*pool.Message){withQuery("ep=other")}, "4.03",
			"ep in Uri-Query is not this device's name", "POST /rd"},
		{codes.POST, "/rd", "", []func(*pool.Message){withQuery("lt=x")}, "4.00",
			"malformed Uri-Query: lt or ep", "POST /rd"},
		{codes.POST, "/rd", "\xff", []func(*pool.Message){withFormat(LinkFormat)}, "4.00",
			"links are not UTF-8", "POST /rd"},
		{codes.GET, "/secret", "", nil, "4.04", "no resource at this Uri-Path", ""},
		{codes.PUT, "/scan", "", nil, "4.05", "method not allowed here", ""},
		{codes.POST, "/scan", string(scanJSON), []func(*pool.Message){withFormat(wire.JSON), withAccept(42)},
			"4.06", "no representation for this Accept", "POST /scan"},
		{codes.POST, "/scan", strings.Repeat("x", 129), []func(*pool.Message){withFormat(wire.JSON)}, "4.13",
			"payload too long", "POST /scan"},
		{codes.POST, "/scan", string(scanJSON), []func(*pool.Message){withFormat(42)}, "4.15",
			"unknown Content-Format", "POST /scan"},
		{codes.POST, "/report", `[{"n":"a","v":1,"zz_":1}]`,
			[]func(*pool.Message){withFormat(wire.SenMLJSON)}, "4.00",
			"report: a label that must be understood is not", "POST /report"},
	} {
		told = nil
		d.peer.Allow(1000)
		resp := d.sendRequest(c.method, c.path, []byte(c.body), c.opts...)
		if got, why := CodeText(resp.Code()), readText(t, resp); got != c.code || why != c.why {
			t.Errorf("%s %q: got %s %q, want %s %q", c.path, c.body, got, why, c.code, c.why)
		}
		if resp.HasOption(message.ContentFormat) {
			t.Errorf("%s: got a diagnostic payload with a Content-Format", c.path)
		}
		if len(told) != 1 || told[0].Request != c.request || CodeText(told[0].Code) != c.code ||
			told[0].Why != c.why || told[0].ByDevice || time.Since(told[0].At) > time.Minute {
			t.Errorf("%s %q: Refused was called with %+v, want one call for %s, %s %q", c.path, c.body, told,
				c.request, c.code, c.why)
		}
	}
}

// The diagnostic text about a malformed body is short and not truncated, whatever the body is.
func TestDiagnosticsAreShort(t *testing.T) {
	f, err := os.Open("wire/testdata/vectors.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	n := 0
	parsers := map[string]func(wire.Format, []byte) error{
		"scan":    func(f wire.Format, b []byte) error { _, err := wire.ParseScan(f, b); return err },
		"act":     func(f wire.Format, b []byte) error { _, err := wire.ParseAct(f, b); return err },
		"verdict": func(f wire.Format, b []byte) error { _, err := wire.ParseVerdict(f, b); return err },
		"command": func(f wire.Format, b []byte) error { _, err := wire.ParseCommand(f, b); return err },
		"state":   func(f wire.Format, b []byte) error { _, err := wire.ParseState(f, b); return err },
		"receipt": func(f wire.Format, b []byte) error { _, err := wire.ParseReceipt(f, b); return err },
	}
	req := pool.NewMessage(t.Context())
	for sc := bufio.NewScanner(f); sc.Scan(); {
		w := strings.Split(sc.Text(), " ")
		if len(w) < 3 || w[1] != "bad" || parsers[w[0]] == nil {
			continue
		}
		b, _ := hex.DecodeString(w[2])
		for _, format := range []wire.Format{wire.CBOR, wire.JSON} {
			err := parsers[w[0]](format, b)
			if err == nil {
				t.Fatalf("%v: got no error", w)
			}
			why := diagnosticOf(err, req)
			if n++; why == "" || len(why) > MaxDiagnostic || strings.HasPrefix(why, "wire") ||
				len(why) == MaxDiagnostic {
				t.Errorf("%v: got %q, want a short text that is not truncated", w, why)
			}
		}
	}
	if n < 300 {
		t.Errorf("got %d bodies, want at least 300", n)
	}
}

func TestDiagnosticOfTheOtherSide(t *testing.T) {
	for _, c := range []struct {
		code codes.Code
		body string
		want string
	}{
		{codes.BadRequest, "key 9", "key 9"},
		{codes.Changed, "key 9", ""},
		{codes.BadRequest, "a\nb\x1b[31mc\x00é\u202e", "ab[31mcé"},
		{codes.BadRequest, "\xff\xfe", ""},
		{codes.BadRequest, strings.Repeat("é", 40), strings.Repeat("é", 32)},
		{codes.BadRequest, "x" + strings.Repeat("é", 40), "x" + strings.Repeat("é", 31)},
	} {
		got := Answer{Code: c.code, Body: []byte(c.body)}.Diagnostic()
		if got != c.want || len(got) > MaxDiagnostic || !utf8.ValidString(got) {
			t.Errorf("%q: got %q, want %q", c.body, got, c.want)
		}
	}
}
