//go:build !linux

package socket

import (
	"net"
	"net/netip"
	"syscall"
)

func readUnsent(uintptr) int { return 0 }

// reader receives one datagram at a time.
type reader struct {
	conn   *net.UDPConn
	buffer [MaxDatagram + 1]byte
	n      int
	from   netip.AddrPort
}

func newReader(c *net.UDPConn, _ syscall.RawConn) *reader { return &reader{conn: c} }

func (r *reader) read() (n int, err error) {
	r.n, r.from, err = r.conn.ReadFromUDPAddrPort(r.buffer[:])
	return 1, err
}

func (r *reader) take(int) (b []byte, from netip.AddrPort, ok bool) {
	return r.buffer[:r.n], netip.AddrPortFrom(r.from.Addr().Unmap(), r.from.Port()), r.n <= MaxDatagram
}

// writer sends one datagram after the other.
type writer struct{ conn *net.UDPConn }

func (w *writer) init(_ uintptr, c *net.UDPConn, _ syscall.RawConn) { w.conn = c }

func (w *writer) write(o *outgoing) (lost uint64) {
	for _, d := range o.list {
		if _, err := w.conn.WriteToUDPAddrPort(o.bytes[d.start:d.end], d.to); err != nil {
			lost++
		}
	}
	return lost
}
