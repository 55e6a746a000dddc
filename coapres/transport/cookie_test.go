package transport

import (
	"bytes"
	"net/netip"
	"reflect"
	"testing"
	"time"
)

func TestCookies(t *testing.T) {
	now := time.Now()
	from := netip.MustParseAddrPort("192.0.2.1:5684")
	first, err := parseHello(helloRecord(0, nil))
	if err != nil {
		t.Fatal(err)
	}
	c := newCookies(now)
	request := c.request(from, first, now)
	if len(request) >= len(first.record) {
		t.Errorf("got %d bytes for the smallest hello, of %d", len(request), len(first.record))
	}
	cookie := request[recordHeader+handshakeHeader+3:]
	second := func(change func(r []byte)) hello {
		r := helloRecord(1, cookie)
		change(r)
		h, err := parseHello(r)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	good := second(func([]byte) {})
	if !c.valid(from, good, now) {
		t.Fatal("the cookie is refused")
	}
	if c.valid(from, first, now) {
		t.Error("no cookie: taken")
	}
	for name, a := range map[string]string{"address": "192.0.2.2:5684", "port": "192.0.2.1:5685", "family": "[::1]:5684"} {
		if c.valid(netip.MustParseAddrPort(a), good, now) {
			t.Errorf("from another %s: taken", name)
		}
	}
	if c.valid(from, second(func(r []byte) { r[recordHeader+handshakeHeader+36]++ }), now) {
		t.Error("another cookie: taken")
	}
	// What the node was sent for a hello that somebody forged from its address lets it in as well.
	if !c.valid(from, second(func(r []byte) { r[recordHeader+handshakeHeader+2]++ }), now) {
		t.Error("the cookie for another hello from there: refused")
	}
	if other := newCookies(now); other.valid(from, good, now) {
		t.Error("another listener takes it")
	}
	if !c.valid(from, good, now.Add(cookieLife)) {
		t.Error("refused when its key has been followed by one")
	}
	if c.valid(from, good, now.Add(2*cookieLife)) {
		t.Error("taken when its key has been followed by two")
	}
	late := newCookies(now)
	cookie = late.request(from, first, now)[recordHeader+handshakeHeader+3:]
	if late.valid(from, second(func([]byte) {}), now.Add(3*cookieLife)) {
		t.Error("taken after a long silence")
	}
	if bytes.Equal(c.keys[0][:], c.keys[1][:]) {
		t.Error("the key does not change")
	}
}

func TestFindCookie(t *testing.T) {
	if cookieErr != nil {
		t.Fatalf("pion has changed: %v", cookieErr)
	}
	for _, typ := range []reflect.Type{reflect.TypeFor[struct{}](), reflect.TypeFor[struct{ state []byte }](),
		reflect.TypeFor[struct{ state struct{ x int } }](), reflect.TypeFor[struct{ state struct{ cookie string } }]()} {
		if _, err := findCookie(typ); err == nil {
			t.Errorf("%s: got no error", typ)
		}
	}
}
