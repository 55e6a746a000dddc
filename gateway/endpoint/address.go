package endpoint

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
)

// ErrAddress is returned for an address that the endpoint must not have.
var ErrAddress = errors.New("address refused")

// CheckHost refuses a URL whose host is an address, or localhost, that the endpoint must not have.
// Where another name leads is known only when a connection opens; package dial looks then. What was
// kept is not judged by it, so that a store opens whatever its records say.
func (e Endpoint) CheckHost() error {
	u, err := url.Parse(e.URL)
	if err != nil {
		return nil // Check says so
	}
	host := u.Hostname()
	if host == localhost {
		host = "127.0.0.1"
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return nil
	}
	return e.CheckAddress(addr)
}

// CheckAddress refuses an address that the endpoint must not have.
func (e Endpoint) CheckAddress(addr netip.Addr) error {
	addr = unwrap(addr)
	private := addr.IsPrivate() || addr.IsLoopback() || addr.IsLinkLocalUnicast() ||
		slices.ContainsFunc(local, func(p netip.Prefix) bool { return p.Contains(addr) })
	switch {
	case addr.IsUnspecified() || addr.IsMulticast() || slices.Contains(metadata, addr) || addr == broadcast:
		return fmt.Errorf("%w: nothing is sent to %v", ErrAddress, addr)
	case !e.Secure() && !addr.IsLoopback():
		return fmt.Errorf("%w: %v is not this machine, and the connection is not encrypted", ErrAddress, addr)
	case addr.IsLoopback() && !e.Private:
		return fmt.Errorf("%w: %v is this machine: allow it with --private", ErrAddress, addr)
	case private && !e.Private:
		return fmt.Errorf("%w: %v is in a local network: allow it with --private", ErrAddress, addr)
	}
	return nil
}

var broadcast = netip.MustParseAddr("255.255.255.255")

// metadata is where clouds answer a machine's questions about its own secrets: most of them, AWS by
// IPv6, and Azure, whose address is a public one that leads to the host of the machine.
var metadata = []netip.Addr{netip.MustParseAddr("169.254.169.254"), netip.MustParseAddr("fd00:ec2::254"),
	netip.MustParseAddr("168.63.129.16")}

// local are networks besides RFC 1918, RFC 4193, loopback and link-local that are not of the whole
// internet: this network (RFC 791), carriers' NAT (RFC 6598), IETF (RFC 6890), benchmarks (RFC 2544),
// future use (RFC 1112), which some use inside, NAT64 with a prefix of one's own (RFC 8215) and site-local
// (RFC 3879).
var local = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("fec0::/10")}

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
