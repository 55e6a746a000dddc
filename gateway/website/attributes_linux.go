package website

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// childAttributes gives the child a session of its own and lets the kernel kill it when we end.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
}

// GuardDescriptors makes sure that processes which this one starts inherit none of its own
// inherited descriptors except the first three: a service manager hands over sockets, and others
// may have left more open.
func GuardDescriptors() error {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}

// newPair makes two connected sockets. The first is ours, the second is for the child.
func newPair(kind int) (*net.UnixConn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("website: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "website"), os.NewFile(uintptr(fds[1]), "website")
	c, err := connOf(ours)
	if err != nil {
		return nil, nil, errors.Join(err, theirs.Close())
	}
	return c, theirs, nil
}
