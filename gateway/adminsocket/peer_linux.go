package adminsocket

import (
	"net"
	"os/user"
	"strconv"

	"golang.org/x/sys/unix"
)

// userOf returns the user at the other end of a unix socket, as the kernel names it, or nothing if
// the kernel does not know.
func userOf(c net.Conn) string {
	cred := peerCredentials(c)
	if cred == nil {
		return ""
	}
	id := strconv.Itoa(int(cred.Uid))
	if who, err := user.LookupId(id); err == nil {
		return who.Username
	}
	return id
}

// peerCredentials returns the credentials of the process that connected a unix socket, or nil if
// the kernel does not know them.
func peerCredentials(c net.Conn) (cred *unix.Ucred) {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return nil
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return nil
	}
	if err := raw.Control(func(fd uintptr) {
		cred, _ = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET,
			unix.SO_PEERCRED)
	}); err != nil {
		return nil
	}
	return cred
}
