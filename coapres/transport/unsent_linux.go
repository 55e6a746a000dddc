package transport

import "golang.org/x/sys/unix"

// readUnsent returns how many bytes of a socket's send buffer are in use.
func readUnsent(fd uintptr) int {
	n, err := unix.IoctlGetInt(int(fd), unix.TIOCOUTQ)
	if err != nil {
		return 0
	}
	return n
}
