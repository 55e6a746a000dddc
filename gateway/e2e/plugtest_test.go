package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/message/pool"

	"latchkey/coapres/device"
	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/audit"
	"latchkey/gateway/store"
	"latchkey/keys"
)

// plugtest is one case of the ETSI CoAP plugtests, with its number there. The paths are ours: a
// case of ETSI names /test or /obs, and here it uses a resource that can do what the case needs.
type plugtest struct {
	id, what string
	not      string // why it does not apply; empty: it does
	// run is the test. If the case does not apply, run shows what the gateway answers instead, and
	// it is nil if there is no request to make.
	run func(t *testing.T, p *plugHouse)
}

// numbered is the number of cases in each part of the plugtests. They are numbered from 1.
var numbered = map[string]int{"CORE": 31, "BLOCK": 6, "OBS": 14, "LINK": 9}

var plugtests = slices.Concat(plugCore, plugProxy, plugBlock, plugObserve, plugLink)

// plugHouse is the house in which the cases run. They run one after the other, because a new
// session of a device ends its old one.
type plugHouse struct {
	*fullHouse
	n uint64 // the reader's counter
}

// The gateway passes every case of the plugtests that applies, with libcoap's client over DTLS. For
// every other case the table has a reason.
func TestPlugtests(t *testing.T) {
	t.Parallel()
	seen := map[string]int{}
	for _, tc := range plugtests {
		if seen[tc.id]++; tc.run == nil && tc.not == "" {
			t.Errorf("%s has neither a test nor a reason why it does not apply", tc.id)
		}
	}
	total := 0
	for part, n := range numbered {
		total += n
		for i := range n {
			if id := fmt.Sprintf("TD_COAP_%s_%02d", part, i+1); seen[id] != 1 {
				t.Errorf("%s is in the table %d times, want once", id, seen[id])
			}
		}
	}
	if len(plugtests) != total {
		t.Errorf("got %d cases in the table, want %d", len(plugtests), total)
	}
	p := &plugHouse{fullHouse: newHouse(t)}
	for _, tc := range plugtests {
		if tc.not != "" {
			t.Logf("%s %s: does not apply: %s", tc.id, tc.what, tc.not)
		}
		if tc.run != nil {
			t.Run(tc.id+" "+tc.what, func(t *testing.T) { tc.run(t, p) })
		}
	}
}

// Reasons why cases do not apply.
const (
	noPut      = "no resource accepts a PUT"
	noSeparate = "every answer is piggybacked, even a slow one"
	noETag     = "no answer has an ETag: states are small, and must not come from a cache"
	noProxy    = "the gateway is no proxy"
	noBlock    = "every message fits one datagram"
	noObserve  = "no resource can be observed: nodes get commands, and request everything else"
)

var plugCore = []plugtest{
	{"TD_COAP_CORE_01", "GET, confirmable", "", func(t *testing.T, p *plugHouse) {
		a := p.clientFor(t, p.readerKey).recordTalk("/.well-known/core").wantAnswer(t, 0, "2.05")
		if a.payload == "" || a.typ != "ACK" {
			t.Errorf("got %+v, want content in an ACK", a)
		}
	}},
	{"TD_COAP_CORE_02", "DELETE, confirmable", "",
		func(t *testing.T, p *plugHouse) { registerAndLeave(t, p, message.Confirmable) }},
	{"TD_COAP_CORE_03", "PUT, confirmable", noPut, func(t *testing.T, p *plugHouse) {
		p.wantMoves("PUT", 0, 0, func() {
			p.clientFor(t, p.readerKey).recordTalk("/scan", "-m", "put", "-t", "50", "-e",
				scanJSON(9, "04a1b2c3d4e580")).wantAnswer(t, 0, "4.05")
		})
	}},
	{"TD_COAP_CORE_04", "POST, confirmable", "",
		func(t *testing.T, p *plugHouse) { p.scanAnnsCard(t, p.clientFor(t, p.readerKey)) }},
	{"TD_COAP_CORE_05", "GET, non-confirmable", "", func(t *testing.T, p *plugHouse) {
		if a := p.clientFor(t, p.readerKey).recordTalk("/.well-known/core", "-N").
			wantAnswer(t, 0, "2.05"); a.payload == "" || a.typ != "NON" {
			t.Errorf("got %+v, want content, non-confirmable", a)
		}
	}},
	{"TD_COAP_CORE_06", "DELETE, non-confirmable", "",
		func(t *testing.T, p *plugHouse) { registerAndLeave(t, p, message.NonConfirmable) }},
	{"TD_COAP_CORE_07", "PUT, non-confirmable", noPut, func(t *testing.T, p *plugHouse) {
		p.wantMoves("PUT", 0, 0, func() {
			p.clientFor(t, p.readerKey).recordTalk("/scan", "-N", "-m", "put", "-t", "50", "-e",
				scanJSON(9, "04a1b2c3d4e580")).wantAnswer(t, 0, "4.05")
		})
	}},
	{"TD_COAP_CORE_08", "POST, non-confirmable", "",
		func(t *testing.T, p *plugHouse) { p.scanAnnsCard(t, p.clientFor(t, p.readerKey), "-N") }},
	{"TD_COAP_CORE_09", "GET with a separate response, confirmable", noSeparate,
		func(t *testing.T, _ *plugHouse) {
			d := newSlowDoor(t)
			d.slowScan(t, d.clientFor(t, d.readerKey)).wantRepeats(t, 0)
		}},
	{"TD_COAP_CORE_10", "GET with a token", "", func(t *testing.T, p *plugHouse) {
		for _, token := range []string{"c", "cafe", "cafecafe"} {
			c := p.clientFor(t, p.readerKey).recordTalk("/.well-known/core", "-T", token)
			if c.wantAnswer(t, 0, "2.05"); len(c.all[0].token) != 2*len(token) {
				t.Errorf("the client sent the token %s, want one of %d bytes", c.all[0].token, len(token))
			}
		}
	}},
	{"TD_COAP_CORE_11", "GET with a token and a separate response", noSeparate,
		func(t *testing.T, _ *plugHouse) {
			d := newSlowDoor(t)
			d.slowScan(t, d.clientFor(t, d.readerKey), "-T", "cafecafe").wantRepeats(t, 0)
		}},
	{"TD_COAP_CORE_12", "GET with an empty token", "", func(t *testing.T, p *plugHouse) {
		// openssl sends these requests, because coap-client cannot send an empty token.
		for _, typ := range []message.Type{message.Confirmable, message.NonConfirmable} {
			p.openDTLS(t, p.readerKey).sendRequest(typ, codes.GET, "/.well-known/core", nil, codes.Content)
		}
	}},
	{"TD_COAP_CORE_13", "GET with several Uri-Path", "", func(t *testing.T, p *plugHouse) {
		for path, code := range map[string]string{"/act/front-door": "2.05", "/act/front-door/x": "4.04",
			"/act%2Ffront-door": "4.04",
			"/front-door/act":   "4.04", "/act//front-door": "4.04"} {
			c := p.clientFor(t, p.switchKey).recordTalk(path, "-A", "50")
			c.wantAnswer(t, 0, code)
			if got := c.all[0].option("Uri-Path"); path == "/act/front-door" &&
				!slices.Equal(got, []string{"act", "front-door"}) {
				t.Errorf("got Uri-Path %v", got)
			}
		}
	}},
	{"TD_COAP_CORE_14", "GET with several Uri-Query", "", func(t *testing.T, p *plugHouse) {
		c := p.clientFor(t, p.switchKey).
			recordTalk("/.well-known/core?rt=latchkey.act&if=core.a&href=/act/desk")
		if a := c.wantAnswer(t, 0, "2.05"); len(c.all[0].option("Uri-Query")) != 3 ||
			!slices.Equal(hrefs(a.payload), []string{"/act/desk"}) {
			t.Errorf("%v: got %s, want the one link that matches all three", c.all[0].option("Uri-Query"),
				a.payload)
		}
	}},
	{"TD_COAP_CORE_15", "GET in a lossy context", "", func(t *testing.T, p *plugHouse) {
		for _, dir := range []device.Direction{device.Up, device.Down} {
			s := p.clientFor(t, p.readerKey)
			s.addr = p.newLossyAddress(t, dir, 2)
			c := s.recordTalk("/.well-known/core")
			c.wantAnswer(t, 0, "2.05")
			c.wantRepeats(t, 1)
		}
	}},
	{"TD_COAP_CORE_16", "GET with a delayed response in a lossy context", noSeparate,
		func(t *testing.T, _ *plugHouse) {
			d := newSlowDoor(t)
			s := d.clientFor(t, d.readerKey)
			// The network loses the verdict: the gateway's third encrypted datagram, after its
			// Finished and the first answer.
			s.addr = d.newLossyAddress(t, device.Down, 3)
			d.slowScan(t, s).wantRepeats(t, 1)
		}},
	{"TD_COAP_CORE_17", "GET with a delayed response, non-confirmable", "", func(t *testing.T, _ *plugHouse) {
		d := newSlowDoor(t)
		d.slowScan(t, d.clientFor(t, d.readerKey), "-N")
	}},
	{"TD_COAP_CORE_18", "POST that creates, with several Location-Path", "",
		func(t *testing.T, p *plugHouse) {
			past := len(p.listEvents())
			a := p.clientFor(t, p.readerKey).
				recordTalk("/rd?ep=front-reader&lt=90", "-m", "post", "-t", "40", "-e", "</card>").
				wantAnswer(t, 0, "2.01")
			if at := a.option("Location-Path"); len(at) != 2 || at[0] != "rd" || at[1] == "" ||
				strings.Contains(at[1], "/") {
				t.Errorf("got Location-Path %q, want rd and one more segment", at)
			}
			p.waitForEvent(t, past, "registered")
		}},
	{"TD_COAP_CORE_19", "POST that creates, with several Location-Query",
		"the location of a registration is only a path",
		func(t *testing.T, p *plugHouse) {
			a := p.clientFor(t, p.readerKey).recordTalk("/rd?ep=front-reader&lt=90", "-m", "post").
				wantAnswer(t, 0, "2.01")
			if got := a.option("Location-Query"); len(got) != 0 {
				t.Errorf("got Location-Query %q, want none", got)
			}
		}},
	{"TD_COAP_CORE_20", "GET with Accept", "", func(t *testing.T, p *plugHouse) {
		for accept, format := range map[string]string{"50": "application/json", "60": "application/cbor"} {
			a := p.clientFor(t, p.switchKey).recordTalk("/act/front-door", "-A", accept).
				wantAnswer(t, 0, "2.05")
			if got := a.option("Content-Format"); !slices.Equal(got, []string{format}) {
				t.Errorf("accept %s: got %q, want %s", accept, got, format)
			}
			if accept == "50" && !json.Valid([]byte(a.payload)) {
				t.Errorf("got %q, want JSON", a.payload)
			}
		}
		p.clientFor(t, p.switchKey).recordTalk("/act/front-door", "-A", "41").wantAnswer(t, 0, "4.06")
	}},
	{"TD_COAP_CORE_21", "GET with ETag", noETag, func(t *testing.T, p *plugHouse) {
		a := p.clientFor(t, p.switchKey).recordTalk("/act/front-door", "-A", "50", "-O", "4,0xaabb").
			wantAnswer(t, 0, "2.05")
		if a.payload == "" || len(a.option("ETag")) != 0 {
			t.Errorf("got %+v, want the whole state and no ETag: the option is elective", a)
		}
	}},
	{"TD_COAP_CORE_22", "PUT with If-Match", noETag, func(t *testing.T, p *plugHouse) {
		p.checkCondition(t, "1,0xaabb")
	}},
	{"TD_COAP_CORE_23", "PUT with If-None-Match", noPut, func(t *testing.T, p *plugHouse) {
		p.checkCondition(t, "5,")
	}},
	{"TD_COAP_CORE_31", "ping", "", func(t *testing.T, p *plugHouse) {
		s := p.clientFor(t, p.readerKey)
		s.wait = "3"
		// A request that gets no answer: the client waits, and pings meanwhile. The client has no
		// Echo, which it would add to its ping.
		c := s.recordTalk("/nothing", "-N", "-O", "5,", "-K", "1")
		if len(c.all) < 3 || c.all[0].typ != "NON" {
			t.Fatalf("want a ping, got\n%s", c.printed)
		}
		if q, a := c.all[1], c.all[2]; q != (pdu{typ: "CON", code: "0.00", mid: q.mid}) ||
			a != (pdu{typ: "RST", code: "0.00", mid: q.mid}) {
			t.Errorf("got %+v for %+v, want the Reset of a ping", a, q)
		}
		p.openDTLS(t, p.readerKey).checkPing()
	}},
}

var plugProxy = []plugtest{
	{"TD_COAP_CORE_24", "POST with several Location-Path through a proxy", noProxy,
		checkProxy("5.05", "-m", "post", "-t", "40", "-e", "</card>")},
	{"TD_COAP_CORE_25", "POST with several Location-Query through a proxy", noProxy,
		checkProxy("5.05", "-m", "post")},
	{"TD_COAP_CORE_26", "GET with Accept through a proxy", noProxy, checkProxy("5.05", "-A", "50")},
	{"TD_COAP_CORE_27", "PUT with If-Match through a proxy", noProxy,
		checkProxy("4.02", "-m", "put", "-e", "x", "-O", "1,0xaabb")},
	{"TD_COAP_CORE_28", "PUT with If-None-Match through a proxy", noProxy,
		checkProxy("4.02", "-m", "put", "-e", "x", "-O", "5,")},
	{"TD_COAP_CORE_29", "GET with Max-Age through a proxy", noProxy, checkProxy("5.05")},
	{"TD_COAP_CORE_30", "", "no edition of the plugtests has this number", nil},
}

var plugBlock = []plugtest{
	{"TD_COAP_BLOCK_01", "GET in blocks, early", noBlock,
		func(t *testing.T, p *plugHouse) { p.checkBlocks(t, "/.well-known/core", "-b", "64") }},
	{"TD_COAP_BLOCK_02", "GET in blocks, late", noBlock, func(t *testing.T, p *plugHouse) {
		var lamps []access.ID // more links than fit one message
		for i := range 40 {
			lamps = append(lamps, p.addTarget(fmt.Sprintf("lamp-%d", i), access.Lamp, 0))
		}
		_, k := p.enrolDevice("big-switch", keys.KindSwitch, lamps...)
		c := p.clientFor(t, k).recordTalk("/.well-known/core")
		a, core := c.wantAnswer(t, 0, "2.05"), c.displayed()
		if len(a.option("Block2")) != 0 || len(core) < 900 || len(core) > wire.MaxReport ||
			!strings.HasSuffix(core, `;ct="60 50"`) {
			t.Errorf("got %d bytes, %q, want about %d bytes of whole links, in one message", len(core), core,
				wire.MaxReport)
		}
	}},
	{"TD_COAP_BLOCK_03", "PUT in blocks", noBlock, func(t *testing.T, p *plugHouse) {
		p.checkBlocks(t, "/report", "-m", "put", "-t", "110", "-f", writeLargeFile(t))
	}},
	{"TD_COAP_BLOCK_04", "POST in blocks that creates a resource", noBlock, func(t *testing.T, p *plugHouse) {
		p.checkBlocks(t, "/rd?ep=front-reader", "-m", "post", "-t", "40", "-f", writeLargeFile(t))
	}},
	{"TD_COAP_BLOCK_05", "POST in blocks, answered in blocks", noBlock, func(t *testing.T, p *plugHouse) {
		p.checkBlocks(t, "/report", "-m", "post", "-t", "110", "-f", writeLargeFile(t))
	}},
	{"TD_COAP_BLOCK_06", "GET in blocks of 16 bytes, early", noBlock, func(t *testing.T, p *plugHouse) {
		p.checkBlocks(t, "/.well-known/core", "-b", "16")
	}},
}

var plugObserve = []plugtest{
	{"TD_COAP_OBS_01", "observation, confirmable", noObserve,
		func(t *testing.T, p *plugHouse) { p.checkPlainGet(t, "-s", "1") }},
	{"TD_COAP_OBS_02", "observation, non-confirmable", noObserve,
		func(t *testing.T, p *plugHouse) { p.checkPlainGet(t, "-s", "1", "-N") }},
	{"TD_COAP_OBS_03", "end of an observation by the client", "the last edition has no such number; " +
		noObserve, func(t *testing.T, p *plugHouse) {
		p.checkPlainGet(t, "-O", "6,0x01", "-N")
	}},
	{"TD_COAP_OBS_04", "a client registers anew after Max-Age", noObserve, nil},
	{"TD_COAP_OBS_05", "the server drops a client that is off", noObserve, nil},
	{"TD_COAP_OBS_06", "the server drops a client that answers with Reset", noObserve, nil},
	{"TD_COAP_OBS_07", "the observed resource is deleted", noObserve, func(t *testing.T, p *plugHouse) {
		p.clientFor(t, p.switchKey).recordTalk("/act/front-door", "-m", "delete").wantAnswer(t, 0, "4.05")
	}},
	{"TD_COAP_OBS_08", "the observed resource changes its format", noObserve,
		func(t *testing.T, p *plugHouse) {
			a := p.clientFor(t, p.switchKey).recordTalk("/act/front-door", "-s", "1", "-A", "0").wantAnswer(t,
				0, "4.06")
			if got := a.option("Observe"); len(got) != 0 {
				t.Errorf("got Observe %q, want none", got)
			}
		}},
	{"TD_COAP_OBS_09", "the observed resource is updated", noObserve, func(t *testing.T, p *plugHouse) {
		c := p.openDTLS(t, p.switchKey)
		c.sendRequest(message.Confirmable, codes.GET, "/act/front-door", []byte("t"), codes.Content, observe)
		p.scanAnnsCard(t, p.clientFor(t, p.readerKey)) // the door opens
		// The next message is the answer to this ping, so there was no notification.
		c.checkPing()
	}},
	{"TD_COAP_OBS_10", "a plain GET ends no observation", noObserve, nil},
	{"TD_COAP_OBS_11", "observation in a lossy context", noObserve, nil},
	{"TD_COAP_OBS_12", "a GET with Observe 1 ends an observation", noObserve,
		func(t *testing.T, p *plugHouse) { p.checkPlainGet(t, "-O", "6,0x01") }},
	{"TD_COAP_OBS_13", "observation of a large resource, in blocks", noObserve + "; " + noBlock,
		func(t *testing.T, p *plugHouse) {
			p.checkBlocks(t, "/.well-known/core", "-s", "1", "-b", "64")
		}},
	{"TD_COAP_OBS_14", "observation of a resource that grows, in blocks", noObserve + "; " + noBlock,
		func(t *testing.T, p *plugHouse) {
			p.checkBlocks(t, "/act/front-door", "-s", "1", "-b", "16")
		}},
}

var plugLink = []plugtest{
	{"TD_COAP_LINK_01", "discovery", "", wantLinks("", "/rd", "/report", "/act/desk", "/act/front-door")},
	{"TD_COAP_LINK_02", "filter by rt", "", wantLinks("?rt=core.rd", "/rd")},
	{"TD_COAP_LINK_03", "filter by rt with any value", "", wantLinks("?rt=*", "/rd", "/report", "/act/desk",
		"/act/front-door")},
	{"TD_COAP_LINK_04", "filter by an rt that several links have", "",
		wantLinks("?rt=latchkey.act", "/act/desk", "/act/front-door")},
	{"TD_COAP_LINK_05", "filter by a prefix of if", "",
		wantLinks("?if=core*", "/act/desk", "/act/front-door")},
	{"TD_COAP_LINK_06", "filter by sz", "no link has a size: no resource is large", wantLinks("?sz=*")},
	{"TD_COAP_LINK_07", "filter by href", "", wantLinks("?href=/report", "/report")},
	{"TD_COAP_LINK_08", "filter by a prefix of href", "", wantLinks("?href=/act/*", "/act/desk",
		"/act/front-door")},
	{"TD_COAP_LINK_09", "links to links", "all links are in one list, and each path exists",
		func(t *testing.T, p *plugHouse) {
			p.clientFor(t, p.switchKey).recordTalk("/act").wantAnswer(t, 0, "4.04")
			core := p.clientFor(t, p.switchKey).recordTalk("/.well-known/core").wantAnswer(t, 0, "2.05")
			for _, href := range hrefs(core.payload) {
				// 4.05, not 4.04: the path exists.
				p.clientFor(t, p.switchKey).recordTalk(href, "-m", "patch").wantAnswer(t, 0, "4.05")
			}
		}},
}

// wantLinks returns a test that a switch gets exactly these links.
func wantLinks(query string, want ...string) func(*testing.T, *plugHouse) {
	return func(t *testing.T, p *plugHouse) {
		a := p.clientFor(t, p.switchKey).recordTalk("/.well-known/core"+query).wantAnswer(t, 0, "2.05")
		if got := a.option("Content-Format"); !slices.Equal(got, []string{"application/link-format"}) {
			t.Errorf("got Content-Format %q, want link-format", got)
		}
		if got := hrefs(a.payload); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func hrefs(core string) (all []string) {
	for _, m := range regexp.MustCompile(`<([^>]*)>`).FindAllStringSubmatch(core, -1) {
		all = append(all, m[1])
	}
	return all
}

// checkProxy returns a test that the gateway refuses to be a proxy. If a request has several
// options that it does not accept, the refusal names the first.
func checkProxy(code string, args ...string) func(*testing.T, *plugHouse) {
	return func(t *testing.T, p *plugHouse) {
		c := p.clientFor(t, p.readerKey).recordTalk("/scan",
			append([]string{"-P", "coaps://" + p.addr}, args...)...)
		if c.wantAnswer(t, 0, code); len(c.all[0].option("Proxy-Uri")) != 1 {
			t.Errorf("got %+v, want a Proxy-Uri", c.all[0])
		}
	}
}

// scanAnnsCard sends a scan of ann's card and checks that it is granted.
func (p *plugHouse) scanAnnsCard(t *testing.T, s stock, args ...string) {
	t.Helper()
	p.n++
	p.wantMoves("a scan", 1, 1, func() { requestScan(t, s, p.n, args...) })
	evs := p.listEvents()
	if i := slices.IndexFunc(evs, func(ev audit.Event) bool {
		return ev.Kind == audit.EventDecision && ev.Granted && ev.Device.Name == "front-reader" &&
			ev.Counter == p.n
	}); i < 0 {
		t.Errorf("no event has the counter %d", p.n)
	}
}

func requestScan(t *testing.T, s stock, n uint64, args ...string) talk {
	t.Helper()
	c := s.recordTalk("/scan", append([]string{"-m", "post", "-t", "50", "-e",
		scanJSON(int(n), "04a1b2c3d4e580")}, args...)...)
	first := c.wantAnswer(t, 0, "4.01")
	a := c.wantAnswer(t, 1, "2.04")
	if want := fmt.Sprintf(`{"verdict":"granted","last":%d}`, n); a.payload != want ||
		len(first.option("Echo")) != 1 {
		t.Errorf("got %+v and %+v, want an Echo and then %s", first, a, want)
	}
	if q, r := c.all[0], c.all[2]; q.mid == r.mid || q.token == r.token || !slices.Equal(r.option("Echo"),
		first.option("Echo")) {
		t.Errorf("got %+v after %+v, want another ID and token, and the Echo", r, q)
	}
	return c
}

// registerAndLeave registers and deletes the registration in the same session. coap-client cannot
// do that, because its session ends after one request, and the registration ends with it.
func registerAndLeave(t *testing.T, p *plugHouse, typ message.Type) {
	c := p.openDTLS(t, p.readerKey)
	past := len(p.listEvents())
	a := c.sendRequest(typ, codes.POST, "/rd", []byte("one"), codes.Created)
	at, err := a.Options().LocationPath()
	if err != nil {
		t.Fatal(err)
	}
	echo, err := a.GetOptionBytes(252)
	if err != nil {
		t.Fatal(err)
	}
	del := func(code codes.Code, token string) {
		c.sendRequest(typ, codes.DELETE, at, []byte(token), code,
			func(m *pool.Message) { m.SetOptionBytes(252, echo) })
	}
	del(codes.Deleted, "two")
	del(codes.NotFound, "three")
	p.waitForEvent(t, past, "offline: it took its registration back")
}

// checkCondition checks that the gateway refuses a request with a condition, which it does not
// evaluate.
func (p *plugHouse) checkCondition(t *testing.T, option string) {
	t.Helper()
	p.wantMoves("a condition", 0, 0, func() {
		for _, args := range [][]string{{"-m", "put"}, {"-m", "post"}} {
			c := p.clientFor(t, p.readerKey).recordTalk("/scan", append(args, "-t", "50", "-e",
				scanJSON(int(p.n+1), "04a1b2c3d4e580"), "-O", option)...)
			c.wantAnswer(t, 0, "4.02")
		}
	})
}

// checkBlocks checks that the gateway refuses a request with a Block option, because it does not
// know that critical option.
func (p *plugHouse) checkBlocks(t *testing.T, path string, args ...string) {
	t.Helper()
	c := p.clientFor(t, p.switchKey).recordTalk(path, args...)
	c.wantAnswer(t, 0, "4.02")
	c.wantRepeats(t, 0)
	if q := c.all[0]; len(q.option("Block1"))+len(q.option("Block2")) != 1 {
		t.Errorf("got %+v, want a Block option", q)
	}
}

// writeLargeFile writes a file that does not fit one message.
func writeLargeFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "large")
	if err := os.WriteFile(path, []byte(strings.Repeat("a", 3000)), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// checkPlainGet checks that a GET with Observe gets the same answer as one without (RFC 7641 §4.1).
func (p *plugHouse) checkPlainGet(t *testing.T, args ...string) {
	t.Helper()
	c := p.clientFor(t, p.switchKey).recordTalk("/act/front-door", append([]string{"-A", "50"}, args...)...)
	if a := c.wantAnswer(t, 0, "2.05"); len(c.all[0].option("Observe")) != 1 ||
		len(a.option("Observe")) != 0 ||
		a.payload == "" {
		t.Errorf("got %+v for %+v, want the state, and no Observe", a, c.all[0])
	}
}

func observe(m *pool.Message) { m.SetObserve(0) }

// waitForEvent waits for a session event of the reader, after the first past events.
func (p *plugHouse) waitForEvent(t *testing.T, past int, detail string) {
	t.Helper()
	eventually(t, "an event of the reader: "+detail, 5*time.Second, func() bool {
		return slices.ContainsFunc(p.listEvents()[past:], func(ev audit.Event) bool {
			return ev.Kind == audit.EventSession && ev.Device.Name == "front-reader" && ev.Detail == detail
		})
	})
}

// slowDoor is a door whose disk can stall once, for less time than a client waits for an answer.
type slowDoor struct {
	*door
	stall atomic.Bool
}

const stallTime = 700 * time.Millisecond

func newSlowDoor(t *testing.T) *slowDoor {
	t.Helper()
	d := &slowDoor{}
	d.door = newDoor(t, store.Options{BeforeCommit: func() {
		if d.stall.CompareAndSwap(true, false) {
			time.Sleep(stallTime)
		}
	}})
	d.lock = d.runNode("front-lock", keys.KindLock, d.lockKey, d.addr)
	d.awaitLockState()
	return d
}

// slowScan makes a scan whose verdict is slow. The verdict comes in the ACK: no empty ACK is sent
// before it.
func (d *slowDoor) slowScan(t *testing.T, s stock, args ...string) talk {
	t.Helper()
	var c talk
	d.wantMoves("a slow scan", 1, 1, func() {
		d.stall.Store(true)
		c = requestScan(t, s, 1, args...)
	})
	if tl := d.listTimelines(); len(tl) != 1 || tl[0].Durable.Sub(tl[0].Received) < stallTime/2 {
		t.Errorf("got %+v, want one slow decision", tl)
	}
	return c
}

// newLossyAddress returns an address that leads to the gateway through a network which loses one
// datagram: the n-th encrypted one in direction dir. The first is the Finished.
func (s *site) newLossyAddress(t *testing.T, dir device.Direction, n int) (addr string) {
	t.Helper()
	r := newRelay(t, s.addr)
	var mu sync.Mutex
	var seen [2]int
	r.Tap(func(way device.Direction, b []byte) {
		if !slices.ContainsFunc(datagram{b: b}.parseRecords(), func(r record) bool { return r.epoch > 0 }) {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		seen[way]++
		before := n // the number of the last datagram the other way before it
		if dir == device.Up {
			before--
		}
		switch {
		case way == dir && seen[way] == n:
			r.Impair(device.Impairment{})
		case way != dir && seen[way] == before:
			r.Impair(device.Impairment{Loss: 1})
		}
	})
	return r.Addr()
}
