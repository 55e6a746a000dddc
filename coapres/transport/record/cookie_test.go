package record

import (
	"bytes"
	"net/netip"
	"testing"
	"time"
)

func TestCookies(t *testing.T) {
	now := time.Now()
	from := netip.MustParseAddrPort("192.0.2.1:5684")
	first, err := ParseHello(makeHello(0, nil))
	if err != nil {
		t.Fatal(err)
	}
	c := NewCookies(now)
	request := bytes.Clone(c.MakeRequest(from, first, now))
	if len(request) >= len(first.Record) {
		t.Errorf("got %d bytes for the smallest hello of %d, want fewer", len(request), len(first.Record))
	}
	cookie := request[HeaderSize+HandshakeHeaderSize+3:]
	second := func(change func(r []byte)) Hello {
		r := makeHello(1, cookie)
		change(r)
		h, err := ParseHello(r)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	good := second(func([]byte) {})
	if !c.IsValid(from, good, now) {
		t.Fatal("the cookie is refused")
	}
	if c.IsValid(from, first, now) {
		t.Error("a hello without a cookie is accepted")
	}
	for name, a := range map[string]string{"address": "192.0.2.2:5684", "port": "192.0.2.1:5685",
		"family": "[::1]:5684"} {
		if c.IsValid(netip.MustParseAddrPort(a), good, now) {
			t.Errorf("the cookie from another %s is accepted", name)
		}
	}
	if c.IsValid(from, second(func(r []byte) { r[HeaderSize+HandshakeHeaderSize+36]++ }), now) {
		t.Error("another cookie is accepted")
	}
	// A node may return the cookie that it got for a hello that somebody forged from its address.
	if !c.IsValid(from, second(func(r []byte) { r[HeaderSize+HandshakeHeaderSize+2]++ }), now) {
		t.Error("the cookie for another hello from the same address is refused")
	}
	if other := NewCookies(now); other.IsValid(from, good, now) {
		t.Error("another listener accepts the cookie")
	}
	if !c.IsValid(from, good, now.Add(cookieLife)) {
		t.Error("the cookie is refused after one change of the key")
	}
	if c.IsValid(from, good, now.Add(2*cookieLife)) {
		t.Error("the cookie is accepted after two changes of the key")
	}
	late := NewCookies(now)
	cookie = bytes.Clone(late.MakeRequest(from, first, now)[HeaderSize+HandshakeHeaderSize+3:])
	if late.IsValid(from, second(func([]byte) {}), now.Add(3*cookieLife)) {
		t.Error("the cookie is accepted after a long time without hellos")
	}
	if bytes.Equal(bytes.Clone(c.sum(0, from)), c.sum(1, from)) {
		t.Error("both keys are the same")
	}
}

// A flood of hellos leaves no garbage.
func TestCookieAllocations(t *testing.T) {
	now := time.Now()
	from := netip.MustParseAddrPort("192.0.2.1:5684")
	c := NewCookies(now)
	h, err := ParseHello(makeHello(0, nil))
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { c.MakeRequest(from, h, now) }); n != 0 {
		t.Errorf("got %v allocations for a request, want none", n)
	}
	h.Cookie = make([]byte, CookieSize)
	if n := testing.AllocsPerRun(100, func() { c.IsValid(from, h, now) }); n != 0 {
		t.Errorf("got %v allocations for a wrong cookie, want none", n)
	}
}
