package doctor

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
)

// publicAddrs returns the public addresses of this machine at which a socket bound to addr can be
// reached. It cannot know whether a router forwards a port to this machine.
func publicAddrs(addr net.Addr) ([]netip.Addr, error) {
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

// LogReach logs whether the nodes' port, which is bound to addr, can be reached from the internet.
func LogReach(log *slog.Logger, addr net.Addr) {
	const unseen = "this machine cannot know whether a router forwards the port to it; do not forward it"
	addrs, err := publicAddrs(addr)
	switch {
	case err != nil:
		log.Warn("unknown whether the nodes' port is public", "err", err, "note", unseen)
	case len(addrs) > 0:
		log.Warn("the nodes' port is bound to a public address: bind it to the nodes' network with --listen",
			"addr", addrs, "note", unseen)
	default:
		log.Info("the nodes' port is bound to no public address", "note", unseen)
	}
}
