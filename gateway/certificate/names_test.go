package certificate

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestParseHost(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"in lower case", "Door.Example.ORG", "door.example.org"},
		{"without the last dot", "door.example.org.", "door.example.org"},
		{"a single label that is not a public suffix", "raspberrypi", "raspberrypi"},
		{"below a suffix that a provider shares among customers", "ann.duckdns.org", "ann.duckdns.org"},
		{"another script, encoded", "xn--tr-xka.example", "xn--tr-xka.example"},
		{"another script, not encoded", "tür.example", ""},
		{"a top-level domain", "dev", ""},
		{"a public suffix of two labels", "co.uk", ""},
		{"a suffix that a provider shares among customers", "duckdns.org", ""},
		{"with a port", "door.example.org:8443", ""},
		{"with a scheme", "https://door.example.org", ""},
		{"a wildcard", "*.example.org", ""},
		{"an underscore", "my_pi", ""},
		{"a hyphen in front", "-pi", ""},
		{"an empty label", "a..example", ""},
		{"nothing", "", ""},
		{"a number at the end", "example.1", ""},
		{"a label of 64", strings.Repeat("a", 64) + ".example", ""},
		{"a name of 254", strings.Repeat("a.", 123) + "example1", ""},
	} {
		if got, err := parseHost(c.in); got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s: %q: got %q, %v, want %q", c.name, c.in, got, err, c.want)
		}
	}
}

func FuzzParseHost(f *testing.F) {
	for _, s := range []string{"localhost", "Door.example.org.", "co.uk", "a_b", "192.0.2.1",
		"xn--tr-xka.example"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		host, err := parseHost(s)
		if err != nil {
			return
		}
		if again, err := parseHost(host); again != host || err != nil {
			t.Errorf("%q: got %q, and parsed again %q, %v", s, host, again, err)
		}
		if _, err := netip.ParseAddr(host); err == nil {
			t.Errorf("%q is an address", s)
		}
	})
}

func TestNamesThatAreRefused(t *testing.T) {
	for _, name := range []string{"0.0.0.0", "::", "fe80::1%eth0", "224.0.0.1", "org", "192.0.2.1:8443",
		"[::1]"} {
		if _, err := Open(Config{Dir: t.TempDir(), Names: []string{name}}); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func TestInterfacesGivePublicIPv4Only(t *testing.T) {
	var n names
	var addrs []net.Addr
	for _, s := range []string{"127.0.0.1/8", "192.168.1.10/24", "169.254.3.4/16", "198.51.100.7/24",
		"2001:db8::7/64", "fe80::7/64", "100.64.0.9/32"} {
		p := netip.MustParsePrefix(s)
		addrs = append(addrs, &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(),
			p.Addr().BitLen())})
	}
	n.addInterfaces(addrs)
	if want := []netip.Addr{netip.MustParseAddr("198.51.100.7")}; !slices.Equal(n.addrs, want) {
		t.Errorf("got %v, want %v", n.addrs, want)
	}
}

func TestHostnameThatIsNoName(t *testing.T) {
	var n names
	n.addHostname("dev", nil)
	n.addHostname("My_Pi", nil)
	n.addHostname("pi.fritz.box", nil)
	if want := []string{"dev.local", "pi.fritz.box", "pi.local"}; !slices.Equal(n.hosts, want) {
		t.Errorf("got %v, want %v", n.hosts, want)
	}
}
