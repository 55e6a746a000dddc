package dial

import "net/netip"

// metadata is where clouds answer a machine's questions about its own secrets.
var metadata = []netip.Addr{netip.MustParseAddr("169.254.169.254"), netip.MustParseAddr("fd00:ec2::254")}

type carrier struct {
	prefix netip.Prefix
	at     int
}

// carriers are IPv6 prefixes whose addresses lead to the IPv4 address in them, which begins behind
// so many bytes: NAT64 (RFC 6052 §2.1), 6to4 (RFC 3056 §2) and IPv4-compatible (RFC 4291 §2.5.5.1).
var carriers = []carrier{
	{netip.MustParsePrefix("64:ff9b::/96"), 12},
	{netip.MustParsePrefix("2002::/16"), 2},
	{netip.MustParsePrefix("::/96"), 12},
}

// unwrap returns the IPv4 address that an IPv6 address leads to, and other addresses as they are.
func unwrap(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if addr.Is4() || addr.IsUnspecified() || addr.IsLoopback() {
		return addr
	}
	for _, c := range carriers {
		if b := addr.As16(); c.prefix.Contains(addr) {
			return netip.AddrFrom4([4]byte(b[c.at:][:4]))
		}
	}
	return addr
}
