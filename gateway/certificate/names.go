package certificate

import (
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// names are the names and addresses of the console. The own CA may sign for these and for nothing
// else.
type names struct {
	hosts []string
	addrs []netip.Addr
	// nets are further addresses that the CA may sign for, so that a new address from the router
	// needs no new CA.
	nets []netip.Prefix
}

// private are the networks that the internet does not route: RFC 1918, RFC 6598, RFC 4193.
var private = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("fc00::/7"),
}

func namesOf(cfg Config) (names, error) {
	n := names{hosts: []string{"localhost"}, addrs: []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}),
		netip.IPv6Loopback()}}
	for _, s := range cfg.Names {
		if err := n.add(s); err != nil {
			return names{}, err
		}
	}
	n.addHostname(os.Hostname())
	switch at := cfg.Addr.Addr().Unmap().WithZone(""); {
	case at.IsValid() && !at.IsUnspecified():
		n.addAddr(at)
	case at.IsUnspecified():
		n.nets = private
		addrs, err := net.InterfaceAddrs()
		if err != nil {
			return names{}, fmt.Errorf("certificate: this machine's addresses: %w", err)
		}
		n.addInterfaces(addrs)
	}
	return n, nil
}

// add adds a host name or an IP address from the configuration.
func (n *names) add(s string) error {
	if a, err := netip.ParseAddr(s); err == nil {
		if a.Zone() != "" || a.IsUnspecified() || a.IsMulticast() {
			return fmt.Errorf("certificate: %s is not an address that a browser can open", s)
		}
		n.addAddr(a.Unmap())
		return nil
	}
	host, err := parseHost(s)
	if err != nil {
		return err
	}
	n.addHost(host)
	return nil
}

func (n *names) addAddr(a netip.Addr) {
	if !slices.Contains(n.addrs, a) {
		n.addrs = append(n.addrs, a)
	}
}

func (n *names) addHost(h string) {
	if !slices.Contains(n.hosts, h) {
		n.hosts = append(n.hosts, h)
	}
}

// addHostname adds this machine's host name and its name in multicast DNS. It skips a name that a
// certificate cannot have: nobody chose it for that.
func (n *names) addHostname(name string, err error) {
	if err != nil {
		return
	}
	label, _, _ := strings.Cut(name, ".")
	for _, s := range []string{name, label + ".local"} {
		if host, err := parseHost(s); err == nil {
			n.addHost(host)
		}
	}
}

// addInterfaces adds this machine's public IPv4 addresses. Private addresses are added when
// somebody connects to them (see own.certificate). Public IPv6 addresses change daily, so a CA for
// them would be useless; put them into Names.
func (n *names) addInterfaces(addrs []net.Addr) {
	for _, a := range addrs {
		p, err := netip.ParsePrefix(a.String())
		if err == nil && p.Addr().Is4() && p.Addr().IsGlobalUnicast() && !within(private, p.Addr()) {
			n.addAddr(p.Addr())
		}
	}
}

// parseHost returns the name in lower case. It refuses a public suffix such as co.uk: the CA could
// then sign for names of strangers.
func parseHost(s string) (string, error) {
	host := strings.ToLower(strings.TrimSuffix(s, "."))
	if !isHost(host) {
		return "", fmt.Errorf("certificate: %.80q is not a host name: letters, digits, hyphens and dots, without a port", s)
	}
	if suffix, listed := publicsuffix.PublicSuffix(host); suffix == host &&
		(listed || strings.Contains(host, ".")) {
		return "", fmt.Errorf("certificate: %s is not one host: names of others end with it", host)
	}
	return host, nil
}

func isHost(s string) bool {
	if len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		if strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	// Browsers read a name that ends with a number as an IPv4 address.
	last := s[strings.LastIndexByte(s, '.')+1:]
	return strings.Trim(last, "0123456789") != ""
}

func within(nets []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(nets, func(p netip.Prefix) bool { return p.Contains(a) })
}

// ranges returns the CA's constraints for addresses.
func (n names) ranges() []*net.IPNet {
	nets := slices.Clone(n.nets)
	for _, a := range n.addrs {
		nets = append(nets, netip.PrefixFrom(a, a.BitLen()))
	}
	out := make([]*net.IPNet, len(nets))
	for i, p := range nets {
		out[i] = &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
	}
	return out
}

// coveredBy tells whether a CA may sign for all of n.
func (n names) coveredBy(ca *x509.Certificate) bool {
	for _, h := range n.hosts {
		if !slices.ContainsFunc(ca.PermittedDNSDomains, func(d string) bool {
			return h == d ||
				strings.HasSuffix(h, "."+d)
		}) {
			return false
		}
	}
	for _, want := range n.ranges() {
		if !slices.ContainsFunc(ca.PermittedIPRanges, func(got *net.IPNet) bool { return wider(got, want) }) {
			return false
		}
	}
	return true
}

func wider(a, b *net.IPNet) bool {
	ones, bits := a.Mask.Size()
	other, otherBits := b.Mask.Size()
	return bits == otherBits && ones <= other && a.Contains(b.IP)
}
