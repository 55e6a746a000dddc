package dial

import (
	"errors"
	"net"
	"sync/atomic"
)

// answers is a connection that ends if the server sends far more than it was sent.
type answers struct {
	net.Conn
	allowed atomic.Int64 // bytes that may come
}

// mostUnasked is how many bytes a server may send more than twice what it was sent.
const mostUnasked = 16 << 20

var errUnasked = errors.New("the server sends much more than answers")

// LimitAnswers returns a connection to a server that only answers. A library keeps a message that is
// coming in until its end, however long the server says that it is; so the connection ends if the
// server sends far more than it was sent.
func LimitAnswers(c net.Conn) net.Conn {
	a := &answers{Conn: c}
	a.allowed.Store(mostUnasked)
	return a
}

func (a *answers) Read(b []byte) (int, error) {
	n, err := a.Conn.Read(b)
	if a.allowed.Add(-int64(n)) < 0 {
		return 0, errUnasked
	}
	return n, err
}

func (a *answers) Write(b []byte) (int, error) {
	for {
		was := a.allowed.Load()
		if a.allowed.CompareAndSwap(was, min(was+2*int64(len(b)), mostUnasked)) {
			return a.Conn.Write(b)
		}
	}
}
