package account

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
)

// describeVisit returns the request to the admin API that the website makes for a visitor's
// request.
func describeVisit(in *http.Request) *http.Request {
	out := httptest.NewRequest(http.MethodGet, "/", nil)
	Describe(out.Header, in, in.Cookies())
	return out
}

func TestLocal(t *testing.T) {
	of := New(Config{Website: Website{Local: []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24"),
		netip.MustParsePrefix("fd12:3456::/64")}}})
	for _, tt := range []struct {
		name, peer, header string
		want               bool
	}{
		{"in the network", "192.168.1.7:40000", "", true},
		{"the last address of the network", "192.168.1.255:1", "", true},
		{"in the next network", "192.168.2.1:40000", "", false},
		{"in the IPv6 network", "[fd12:3456::7]:40000", "", true},
		{"in the next IPv6 network", "[fd12:3456:0:1::7]:40000", "", false},
		{"an IPv4 address as an IPv6 listener shows it", "[::ffff:192.168.1.7]:40000", "", true},
		{"with a zone", "[fd12:3456::7%eth0]:40000", "", true},
		{"loopback, which is not in the list", "127.0.0.1:40000", "", false},
		{"IPv6 loopback", "[::1]:40000", "", false},
		{"behind a proxy", "192.168.1.7:40000", "X-Forwarded-For", false},
		{"behind a proxy that follows RFC 7239", "192.168.1.7:40000", "Forwarded", false},
		{"behind nginx as many set it up", "192.168.1.7:40000", "X-Real-IP", false},
		{"behind a proxy that names itself", "192.168.1.7:40000", "Via", false},
		{"an unknown header that starts with X-Forwarded-", "192.168.1.7:40000",
			"X-Forwarded-Whatever", false},
		{"a header with a similar name", "192.168.1.7:40000", "X-Forward", true},
		{"no address at all", "@", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.RemoteAddr = tt.peer
			if tt.header != "" {
				r.Header.Set(tt.header, "")
			}
			if got := of.newVisit(nil, describeVisit(r)).local; got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
	if New(Config{}).newVisit(nil, describeVisit(&http.Request{RemoteAddr: "127.0.0.1:1"})).local {
		t.Error("a visitor is local although there is no local network")
	}
}

func TestFrom(t *testing.T) {
	for peer, want := range map[string]string{
		"192.0.2.7:1": "192.0.2.7", "[::ffff:192.0.2.7]:1": "192.0.2.7",
		"[2001:db8:1:2:3::9]:1": "2001:db8:1:2::/64", "[2001:db8:1:2:ffff::9]:1": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:1": "fe80::/64", "": "an unknown address", "nonsense": "an unknown address",
	} {
		if got := New(Config{}).newVisit(nil,
			describeVisit(&http.Request{RemoteAddr: peer})).from(); got != want {
			t.Errorf("%q: got %q, want %q", peer, got, want)
		}
	}
}

func TestBlock(t *testing.T) {
	for peer, want := range map[string]string{
		"192.0.2.7:1": "192.0.2.0/24", "[::ffff:192.0.2.7]:1": "192.0.2.0/24",
		"[2001:db8:1:2:3::9]:1": "2001:db8:1::/48", "": "an unknown address",
	} {
		if got := New(Config{}).newVisit(nil,
			describeVisit(&http.Request{RemoteAddr: peer})).block(); got != want {
			t.Errorf("%q: got %q, want %q", peer, got, want)
		}
	}
}
