package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// owned refuses a data folder that belongs to somebody else: what we wrote there, its owner could not read.
func (p place) owned() error {
	info, err := os.Stat(p.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("data folder: %s is not a folder: name one with --data", p.dir)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(st.Uid) == os.Geteuid() {
		return nil
	}
	owner := "#" + strconv.Itoa(int(st.Uid)) // what sudo takes for a user without a name
	if u, err := user.LookupId(strconv.Itoa(int(st.Uid))); err == nil {
		owner = u.Username
	}
	return fmt.Errorf("%s belongs to %s: sudo -u %s %s", p.dir, owner, quoteWord(owner), p.again(p.dir))
}

// whoami is who makes the changes, for the events.
func whoami() string {
	name := strconv.Itoa(os.Geteuid())
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if by := os.Getenv("SUDO_USER"); by != "" && by != name {
		return fmt.Sprintf("%s for %s", name, by)
	}
	return name
}

// defaultPort is that of CoAP over DTLS, RFC 7252 §6.2.
const defaultPort = "5684"

// guessAddr is where devices may find a gateway on this machine, if nobody says: its first address that is not its own alone.
func guessAddr() string {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return ""
	}
	var v6 net.IP
	for _, a := range addrs {
		n, ok := a.(*net.IPNet)
		if !ok || !n.IP.IsGlobalUnicast() {
			continue
		}
		if n.IP.To4() != nil {
			return net.JoinHostPort(n.IP.String(), defaultPort)
		}
		if v6 == nil {
			v6 = n.IP
		}
	}
	if v6 != nil {
		return net.JoinHostPort(v6.String(), defaultPort)
	}
	return net.JoinHostPort("localhost", defaultPort)
}
