package dial

import (
	"net"
	"sync/atomic"
	"time"
)

// Watched is a connection that keeps its first error. Libraries often keep only its text.
type Watched struct {
	net.Conn
	first atomic.Pointer[error]
}

// Watch returns a connection that is watched.
func Watch(c net.Conn) *Watched { return &Watched{Conn: c} }

func (c *Watched) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.keep(err)
	return n, err
}

func (c *Watched) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if err != nil && c.first.Load() == nil {
		// With TLS 1.3 a server refuses our certificate after the handshake. A write may fail before
		// somebody has read that.
		_ = c.SetReadDeadline(time.Now().Add(time.Second))
		if _, last := c.Conn.Read(make([]byte, 1)); IsCertificate(last) {
			err = last
		}
	}
	c.keep(err)
	return n, err
}

func (c *Watched) keep(err error) {
	if err != nil {
		c.first.CompareAndSwap(nil, &err)
	}
}

// FirstError returns the first error of a read or a write.
func (c *Watched) FirstError() error {
	if err := c.first.Load(); err != nil {
		return *err
	}
	return nil
}
