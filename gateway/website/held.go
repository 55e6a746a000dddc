package website

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// holding accepts connections for another process.
type holding struct{ net.Listener }

func (l holding) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return hold(c)
}

// held is a connection that another process reads and writes. We keep a descriptor only to end it.
// It is not in Go's poller, so data that arrives does not wake us.
type held struct {
	net.Conn // already closed, kept for its addresses

	mu sync.Mutex
	fd int // guarded by mu; -1 once the connection is closed
}

// hold closes c and keeps a descriptor of its own.
func hold(c net.Conn) (*held, error) {
	s, ok := c.(syscall.Conn)
	if !ok {
		return nil, errors.Join(errors.New("website: a connection without a socket"), c.Close())
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("website: %w", err), c.Close())
	}
	h := &held{Conn: c, fd: -1}
	var dup error
	err = raw.Control(func(fd uintptr) { h.fd, dup = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) })
	_ = c.Close()
	if err = errors.Join(err, dup); err != nil {
		return nil, fmt.Errorf("website: %w", err)
	}
	return h, nil
}

// errGone is a connection that was closed before it could be passed on.
var errGone = errors.New("website: the connection is gone")

// use calls f with the descriptor and keeps it open meanwhile.
func (h *held) use(f func(fd int) error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fd < 0 {
		return errGone
	}
	return f(h.fd)
}

// Close ends the connection in every process that has it.
func (h *held) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fd < 0 {
		return net.ErrClosed
	}
	_ = unix.Shutdown(h.fd, unix.SHUT_RDWR) // fails if the other side has ended it
	err := unix.Close(h.fd)
	h.fd = -1
	return err
}

// heldOf finds our connection inside its wrappers.
func heldOf(c net.Conn) *held {
	for {
		if h, ok := c.(*held); ok {
			return h
		}
		w, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		c = w.NetConn()
	}
}
