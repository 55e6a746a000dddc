package console

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
)

func TestLocal(t *testing.T) {
	c := &Console{cfg: Config{Local: []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24"), netip.MustParsePrefix("fd12:3456::/64")}}}
	for _, tt := range []struct {
		name, peer, header string
		want               bool
	}{
		{"in the network", "192.168.1.7:40000", "", true},
		{"its last address", "192.168.1.255:1", "", true},
		{"the network beside it", "192.168.2.1:40000", "", false},
		{"in the IPv6 network", "[fd12:3456::7]:40000", "", true},
		{"the IPv6 network beside it", "[fd12:3456:0:1::7]:40000", "", false},
		{"an IPv4 address as an IPv6 listener shows it", "[::ffff:192.168.1.7]:40000", "", true},
		{"with a zone", "[fd12:3456::7%eth0]:40000", "", true},
		{"loopback, which was not named", "127.0.0.1:40000", "", false},
		{"IPv6 loopback", "[::1]:40000", "", false},
		{"behind a proxy", "192.168.1.7:40000", "X-Forwarded-For", false},
		{"behind a proxy that follows RFC 7239", "192.168.1.7:40000", "Forwarded", false},
		{"behind nginx as many set it up", "192.168.1.7:40000", "X-Real-IP", false},
		{"behind a proxy that names itself", "192.168.1.7:40000", "Via", false},
		{"a header of that family that nobody knows", "192.168.1.7:40000", "X-Forwarded-Whatever", false},
		{"a name like one of them", "192.168.1.7:40000", "X-Forward", true},
		{"no address at all", "@", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.RemoteAddr = tt.peer
			if tt.header != "" {
				r.Header.Set(tt.header, "")
			}
			if got := c.local(r); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
	if (&Console{}).local(&http.Request{RemoteAddr: "127.0.0.1:1"}) {
		t.Error("somebody is local where no network is")
	}
}

func TestOurs(t *testing.T) {
	c := &Console{cfg: Config{Hosts: []string{"localhost", "door.example", "*.wild.example"}}}
	for host, want := range map[string]bool{
		"localhost": true, "localhost:8443": true, "LocalHost:8443": true, "door.example": true, "DOOR.EXAMPLE:443": true,
		"a.wild.example": true, "a.wild.example:8443": true, "wild.example": false, "a.b.wild.example": false,
		"evil.example": false, "door.example.evil.example": false, "evildoor.example": false, "a.door.example": false, "example": false,
		"127.0.0.1": true, "127.0.0.1:8443": true, "[::1]:8443": true, "[::1]": true, "192.0.2.1:8443": true,
		"": false, ":8443": false, "*.wild.example": true, "[": false, "door.example.": false,
	} {
		if got := c.ours(host); got != want {
			t.Errorf("%q: got %v, want %v", host, got, want)
		}
	}
	if !(&Console{}).ours("anything.example") {
		t.Error("without names there is nothing to compare with, so every one is ours")
	}
}

func TestWhereToGo(t *testing.T) {
	for to, want := range map[string]string{
		"/people?x=1": "/people?x=1", "/": "/", "": "/", "people": "/", "https://evil.example/": "/", "//evil.example/": "/", "/\\evil.example": "/",
		"\\\\evil.example": "/", "/%2F/evil.example": "/", "javascript:alert(1)": "/", "/a\r\nSet-Cookie: x": "/", "///evil.example": "/", "/events#x": "/events", ":": "/",
	} {
		if got := ours(to); got != want {
			t.Errorf("%q: got %q, want %q", to, got, want)
		}
	}
}

func TestFrom(t *testing.T) {
	for peer, want := range map[string]string{
		"192.0.2.7:1": "192.0.2.7", "[::ffff:192.0.2.7]:1": "192.0.2.7", "[2001:db8:1:2:3::9]:1": "2001:db8:1:2::/64", "[2001:db8:1:2:ffff::9]:1": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:1": "fe80::/64", "": "an unknown address", "nonsense": "an unknown address",
	} {
		if got := from(&http.Request{RemoteAddr: peer}); got != want {
			t.Errorf("%q: got %q, want %q", peer, got, want)
		}
	}
}

func TestForeign(t *testing.T) {
	for _, tt := range []struct {
		name, method, site, mode, dest string
		want                           bool
	}{
		{"no browser", "POST", "", "", "", false},
		{"somebody who types the address", "GET", "none", "navigate", "document", false},
		{"a page of ours", "POST", "same-origin", "navigate", "document", false},
		{"a link from another site", "GET", "cross-site", "navigate", "document", false},
		{"a form of another site", "POST", "cross-site", "navigate", "document", true},
		{"a link in a frame of another site", "GET", "cross-site", "navigate", "iframe", true},
		{"a frame of our own", "GET", "same-origin", "navigate", "iframe", true},
		{"an object", "GET", "same-origin", "navigate", "object", true},
		{"a picture on another site", "GET", "cross-site", "no-cors", "image", true},
		{"a script of another port of this host", "GET", "same-site", "cors", "empty", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(tt.method, "/", nil)
			for name, value := range map[string]string{"Sec-Fetch-Site": tt.site, "Sec-Fetch-Mode": tt.mode, "Sec-Fetch-Dest": tt.dest} {
				if value != "" {
					r.Header.Set(name, value)
				}
			}
			if got := foreign(r); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestInert(t *testing.T) {
	for cell, want := range map[string]string{
		"": "", "ann": "ann", "a=b": "a=b", "=1+1": "'=1+1", "+1": "'+1", "-1": "'-1", "@SUM(1)": "'@SUM(1)", "\t=1": "'\t=1", "\r=1": "'\r=1", "\n=1": "'\n=1",
		"＝1+1": "'＝1+1", "＠SUM(1)": "'＠SUM(1)", "Ünal": "Ünal", "\xff=1": "\xff=1", "'=1": "'=1",
	} {
		if got := inert(cell); got != want {
			t.Errorf("%q: got %q, want %q", cell, got, want)
		}
	}
}

func TestSentence(t *testing.T) {
	for s, want := range map[string]string{"": "", "it is so": "It is so.", "It is so.": "It is so.", "ünal is not here": "Ünal is not here.", "日本": "日本.", "\xff": "\xff."} {
		if got := sentence(s); got != want {
			t.Errorf("%q: got %q, want %q", s, got, want)
		}
	}
}

func TestBlock(t *testing.T) {
	for peer, want := range map[string]string{
		"192.0.2.7:1": "192.0.2.0/24", "[::ffff:192.0.2.7]:1": "192.0.2.0/24", "[2001:db8:1:2:3::9]:1": "2001:db8:1::/48", "": "an unknown address",
	} {
		if got := block(&http.Request{RemoteAddr: peer}); got != want {
			t.Errorf("%q: got %q, want %q", peer, got, want)
		}
	}
}

// A page of the same host that came without TLS can have been written by anybody between, and is not from here.
func TestOriginIsComparedWithItsScheme(t *testing.T) {
	for _, tt := range []struct {
		host, origin, site string
		want               int
	}{
		{"door.example", "https://door.example", "", 200},
		{"door.example", "https://door.example", "same-origin", 200},
		{"door.example:8443", "https://door.example:8443", "", 200},
		{"[2001:db8::1]:8443", "https://[2001:db8::1]:8443", "", 200},
		{"door.example", "", "", 200},
		{"door.example", "null", "same-origin", 200},
		{"door.example", "http://door.example", "", 403},
		{"door.example:8443", "http://door.example:8443", "", 403},
		{"door.example", "http://door.example", "same-origin", 403},
		{"door.example", "https://door.example:8443", "", 403},
		{"door.example:8443", "https://door.example", "", 403},
		{"door.example", "https://evil.example", "", 403},
		{"door.example", "https://door.example.evil.example", "", 403},
		{"door.example", "null", "", 403},
		{"door.example", "null", "cross-site", 403},
		{"door.example", "door.example", "", 403},
		{"door.example", "chrome-extension://door.example", "", 403},
	} {
		for _, method := range []string{http.MethodPost, http.MethodGet} {
			r := httptest.NewRequest(method, "https://"+tt.host+"/", nil)
			for name, value := range map[string]string{"Origin": tt.origin, "Sec-Fetch-Site": tt.site} {
				if value != "" {
					r.Header.Set(name, value)
				}
			}
			w := httptest.NewRecorder()
			(&Console{}).guarded(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, r)
			if w.Code != tt.want {
				t.Errorf("%s to %s from %q, %q: got %d, want %d", method, tt.host, tt.origin, tt.site, w.Code, tt.want)
			}
		}
	}
}
