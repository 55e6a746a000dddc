package load

import (
	"net"
	"sync/atomic"
	"time"
)

// socket is a node's UDP socket. It can be replaced while pion uses it.
type socket struct{ now atomic.Pointer[net.UDPConn] }

func newSocket(from *net.UDPAddr) (*socket, error) {
	c, err := net.ListenUDP("udp4", from)
	if err != nil {
		return nil, err
	}
	s := &socket{}
	s.now.Store(c)
	return s, nil
}

func (s *socket) move() error {
	old := s.now.Load()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: old.LocalAddr().(*net.UDPAddr).IP})
	if err != nil {
		return err
	}
	s.now.Store(c)
	return old.Close()
}

// ReadFrom continues with the new socket when the socket was replaced.
func (s *socket) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		c := s.now.Load()
		if n, from, err := c.ReadFrom(b); err == nil || s.now.Load() == c {
			return n, from, err
		}
	}
}

func (s *socket) WriteTo(b []byte, to net.Addr) (int, error) { return s.now.Load().WriteTo(b, to) }
func (s *socket) Close() error                               { return s.now.Load().Close() }
func (s *socket) LocalAddr() net.Addr                        { return s.now.Load().LocalAddr() }
func (s *socket) SetDeadline(t time.Time) error              { return s.now.Load().SetDeadline(t) }
func (s *socket) SetReadDeadline(t time.Time) error          { return s.now.Load().SetReadDeadline(t) }
func (s *socket) SetWriteDeadline(t time.Time) error         { return s.now.Load().SetWriteDeadline(t) }
