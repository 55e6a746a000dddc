package certificate

import (
	"net"
	"strconv"
)

// URL returns the website's URL for people. It uses a name from the configuration, else localhost:
// passkeys work only with these.
func (cfg Config) URL() string {
	host, port := "localhost", strconv.Itoa(int(cfg.Addr.Port()))
	switch at := cfg.Addr.Addr(); {
	case cfg.ACME != nil:
		return "https://" + cfg.ACME.Name + "/" // port 443 must lead here
	case len(cfg.Names) > 0:
		host = cfg.Names[0]
	case !at.IsLoopback() && !at.IsUnspecified():
		host = at.Unmap().WithZone("").String()
	}
	return "https://" + net.JoinHostPort(host, port) + "/"
}
