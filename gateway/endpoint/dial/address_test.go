package dial

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"latchkey/gateway/endpoint"
)

func TestAddresses(t *testing.T) {
	const never, private, open = "never", "with --private", "always"
	for addr, want := range map[string]string{
		"192.0.2.1": open, "2001:db8::1": open, "100.63.255.255": open, "172.32.0.1": open, "11.0.0.0": open,
		"10.0.0.1": private, "172.16.0.1": private, "192.168.1.1": private,
		"127.0.0.1": private, "127.1.2.3": private,
		"100.64.0.1": private, "169.254.1.1": private, "::1": private, "fe80::1%eth0": private, "fd12::1": private,
		"0.0.0.0": never, "::": never, "224.0.0.1": never, "255.255.255.255": never, "ff02::1": never,
		"169.254.169.254": never, "fd00:ec2::254": never, "168.63.129.16": never,
		"0.1.2.3": private, "192.0.0.8": private, "198.19.0.1": private, "240.0.0.1": private,
		"64:ff9b:1::a00:1": private, "fec0::1": private, "192.0.1.1": open, "198.20.0.1": open,
		// IPv4 in IPv6.
		"::ffff:10.0.0.1": private, "::ffff:169.254.169.254": never, "::ffff:192.0.2.1": open,
		"64:ff9b::10.0.0.1": private, "64:ff9b::169.254.169.254": never, "64:ff9b::192.0.2.1": open,
		"2002:a00:1::1": private, "2002:a9fe:a9fe::": never, "2002:c000:201::1": open,
		"::10.0.0.1": private, "::169.254.169.254": never,
	} {
		got := never
		for _, e := range []endpoint.Endpoint{{URL: "https://x.example", Private: true},
			{URL: "https://x.example"}} {
			err := checkAddress(e, unwrap(netip.MustParseAddr(addr)))
			if err != nil && !errors.Is(err, ErrAddress) {
				t.Errorf("%s: %v", addr, err)
			}
			if err == nil && e.Private {
				got = private
			} else if err == nil {
				got = open
			}
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", addr, got, want)
		}
		// Without TLS only this machine.
		e := endpoint.Endpoint{URL: "http://localhost", Private: true}
		err := checkAddress(e, unwrap(netip.MustParseAddr(addr)))
		if loopback := strings.HasPrefix(addr, "127.") || addr == "::1"; (err == nil) != loopback {
			t.Errorf("%s without TLS: got %v", addr, err)
		}
	}
}

// The dialer looks at each address that it tries.
func TestDialerRefuses(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	_, port, err := net.SplitHostPort(ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}

	for _, host := range []string{"127.0.0.1", "localhost", "::ffff:127.0.0.1"} {
		for _, private := range []bool{false, true} {
			e := endpoint.Endpoint{URL: "https://x.example", Private: private}
			c, err := Dialer(e).DialContext(context.Background(), "tcp", net.JoinHostPort(host, port))
			if err == nil {
				_ = c.Close()
			}
			if (err == nil) != private || err != nil && !errors.Is(err, ErrAddress) {
				t.Errorf("%s, private %v: got %v", host, private, err)
			}
		}
	}
}
