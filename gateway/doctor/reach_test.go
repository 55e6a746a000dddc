package doctor

import (
	"net/netip"
	"testing"
)

func TestPublicAddress(t *testing.T) {
	for addr, want := range map[string]bool{
		"127.0.0.1": false, "::1": false, "10.1.2.3": false, "192.168.1.1": false, "172.31.0.1": false,
		"100.64.0.1": false, "169.254.1.1": false,
		"fe80::1": false, "fd00::1": false, "ff02::1": false, "0.0.0.0": false,
		"8.8.8.8": true, "172.32.0.1": true, "100.128.0.1": true, "2001:db8::1": true,
	} {
		if got := isPublic(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: got public %v, want %v", addr, got, want)
		}
	}
}
