package endpoint

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func TestAddresses(t *testing.T) {
	const never, private, open = "never", "with --private", "always"
	for addr, want := range map[string]string{
		"192.0.2.1": open, "2001:db8::1": open, "100.63.255.255": open, "172.32.0.1": open, "11.0.0.0": open,
		"10.0.0.1": private, "172.16.0.1": private, "192.168.1.1": private,
		"127.0.0.1": private, "127.1.2.3": private,
		"100.64.0.1": private, "169.254.1.1": private, "::1": private, "fe80::1%eth0": private,
		"fd12::1": private,
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
		for _, e := range []Endpoint{{URL: "https://x.example", Private: true},
			{URL: "https://x.example"}} {
			err := e.CheckAddress(netip.MustParseAddr(addr))
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
		e := Endpoint{URL: "http://localhost", Private: true}
		err := e.CheckAddress(netip.MustParseAddr(addr))
		if loopback := strings.HasPrefix(addr, "127.") || addr == "::1"; (err == nil) != loopback {
			t.Errorf("%s without TLS: got %v", addr, err)
		}
	}
}

// An address in the URL is judged as soon as somebody writes it down, and a name when it is used.
func TestCheckHost(t *testing.T) {
	for url, want := range map[string]bool{
		"https://10.0.0.1/in": false, "mqtts://192.168.1.5:8883": false, "https://127.0.0.1": false,
		"http://localhost:8080": false, "tls://[fe80::1%25eth0]:4222": false, "https://[::1]/": false,
		"https://[::ffff:10.0.0.1]/": false, "amqps://169.254.1.1": false,
		"https://192.0.2.1": true, "https://hooks.example": true, "https://[2001:db8::1]": true,
		"https://broker.local": true, "https://10.0.0.1.example": true, "%": true,
	} {
		err := Endpoint{URL: url}.CheckHost()
		if (err == nil) != want || err != nil && !strings.Contains(err.Error(), "--private") {
			t.Errorf("%s: got %v, want a hint at --private: %v", url, err, !want)
		}
		if err := (Endpoint{URL: url, Private: true}).CheckHost(); err != nil {
			t.Errorf("%s with --private: got %v", url, err)
		}
	}
	if err := (Endpoint{URL: "https://169.254.169.254", Private: true}).CheckHost(); err == nil {
		t.Error("an address that answers about the machine's secrets is accepted")
	}
}
