package settings

import (
	"net"
	"net/netip"

	"latchkey/keys/provision"
)

// DefaultListen is where the gateway listens if nobody says otherwise. The port is that of CoAP
// over DTLS, RFC 7252 §6.2.
const DefaultListen = ":" + provision.DefaultPort

// AnnouncedAddrs returns the "host:port" at which nodes may find a gateway that listens at listen:
// the address that it is bound to, else the addresses of this machine. More than one means that
// somebody has to choose.
func AnnouncedAddrs(listen string) []string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil || port == "0" { // whichever the kernel gives it
		return nil
	}
	hosts := []string{host}
	if a, err := netip.ParseAddr(host); host == "" || err == nil && a.IsUnspecified() {
		hosts = MachineAddrs()
	}
	var out []string
	for _, host := range hosts {
		if addr := net.JoinHostPort(host, port); provision.CheckGateway(addr) == nil { // a named port is none for nodes
			out = append(out, addr)
		}
	}
	return out
}

// MachineAddrs returns the addresses at which other machines may reach this one: those of IPv4, or
// if there are none those of IPv6. If there are neither it is localhost.
func MachineAddrs() []string {
	var v4, v6 []string
	ifaces, err := net.Interfaces()
	if err != nil {
		return nil
	}
	for _, i := range ifaces {
		addrs, err := i.Addrs()
		if err != nil || i.Flags&net.FlagRunning == 0 {
			continue
		}
		for _, a := range addrs {
			n, ok := a.(*net.IPNet)
			switch {
			case !ok || !n.IP.IsGlobalUnicast():
			case n.IP.To4() != nil:
				v4 = append(v4, n.IP.String())
			default:
				v6 = append(v6, n.IP.String())
			}
		}
	}
	switch {
	case len(v4) > 0:
		return v4
	case len(v6) > 0:
		return v6
	}
	return []string{"localhost"}
}
