package adminsocket

import (
	"net"
	"os/user"
	"strconv"

	"golang.org/x/sys/unix"
)

// userOf names the user at the other end of a unix socket, as the kernel knows it; empty if it does
// not.
func userOf(c net.Conn) string {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return ""
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return ""
	}
	var cred *unix.Ucred
	err = raw.Control(func(fd uintptr) {
		cred, _ = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err != nil || cred == nil {
		return ""
	}
	id := strconv.Itoa(int(cred.Uid))
	if who, err := user.LookupId(id); err == nil {
		return who.Username
	}
	return id
}
