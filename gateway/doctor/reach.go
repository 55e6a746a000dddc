package doctor

import (
	"fmt"
	"net"
	"net/netip"
)

// PublicAddrs returns the addresses of this machine at which a socket that is bound to addr can be reached
// from the internet, as far as can be seen from here: a router that forwards a port cannot.
func PublicAddrs(addr net.Addr) ([]netip.Addr, error) {
	at, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return nil, fmt.Errorf("doctor: %w", err)
	}
	if a := at.Addr().Unmap(); !a.IsUnspecified() {
		if !isPublic(a) {
			return nil, nil
		}
		return []netip.Addr{a}, nil
	}
	ifaces, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("doctor: this machine's addresses: %w", err)
	}
	var out []netip.Addr
	for _, i := range ifaces {
		if p, err := netip.ParsePrefix(i.String()); err == nil && isPublic(p.Addr().Unmap()) {
			out = append(out, p.Addr().Unmap())
		}
	}
	return out, nil
}

// shared is for networks behind a provider's address translation (RFC 6598).
var shared = netip.MustParsePrefix("100.64.0.0/10")

func isPublic(a netip.Addr) bool {
	return a.IsGlobalUnicast() && !a.IsPrivate() && !shared.Contains(a)
}
