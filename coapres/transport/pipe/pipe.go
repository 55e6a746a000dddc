// Package pipe carries the records of one handshake to and from pion, which takes it for a socket.
package pipe

import (
	"encoding/binary"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"latchkey/coapres/transport/record"
)

// Pipe is the net.PacketConn below pion during one handshake. It is given records one at a time,
// and passes on what pion writes. Its Close ends nothing else: pion closes when we take over.
type Pipe struct {
	peer net.Addr
	out  func(b []byte)

	mu       sync.Mutex
	queue    [][]byte  // guarded by mu
	closed   bool      // guarded by mu
	expired  bool      // guarded by mu; ReadFrom returns at once
	sequence uint64    // guarded by mu; of the next plaintext record for pion
	wake     sync.Cond // of mu: ReadFrom has something to return
}

// New returns a Pipe. All records come from peer, as far as pion sees, and out is called with each
// datagram that pion writes.
func New(peer net.Addr, out func(b []byte)) *Pipe {
	p := &Pipe{peer: peer, out: out}
	p.wake.L = &p.mu
	return p
}

// Give queues a copy of one record for pion, or drops it if room records are waiting.
func (p *Pipe) Give(r []byte, room int) bool {
	p.mu.Lock()
	if p.closed || len(p.queue) >= room {
		p.mu.Unlock()
		return false
	}
	r = slices.Clone(r)
	if r[3] == 0 && r[4] == 0 && r[0] != record.TLS12CID {
		// Nothing authenticates the number of a plaintext record. After a forged high one pion would
		// drop the true records as old.
		binary.BigEndian.PutUint64(r[3:], p.sequence) // the epoch is 0
		p.sequence++
	}
	p.queue = append(p.queue, r)
	p.mu.Unlock()
	p.wake.Signal()
	return true
}

// ReadFrom gives pion the next record.
func (p *Pipe) ReadFrom(b []byte) (int, net.Addr, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.queue) == 0 && !p.closed && !p.expired {
		p.wake.Wait()
	}
	switch {
	case p.closed:
		return 0, nil, net.ErrClosed
	case p.expired:
		return 0, nil, os.ErrDeadlineExceeded
	}
	n := copy(b, p.queue[0])
	p.queue = p.queue[1:]
	return n, p.peer, nil
}

func (p *Pipe) WriteTo(b []byte, _ net.Addr) (int, error) {
	p.out(b)
	return len(b), nil
}

func (p *Pipe) Close() error {
	p.mu.Lock()
	p.closed, p.queue = true, nil
	p.mu.Unlock()
	p.wake.Signal()
	return nil
}

func (p *Pipe) LocalAddr() net.Addr              { return address{} }
func (p *Pipe) SetDeadline(t time.Time) error    { return p.SetReadDeadline(t) }
func (*Pipe) SetWriteDeadline(_ time.Time) error { return nil }
func (p *Pipe) SetReadDeadline(t time.Time) error {
	p.mu.Lock()
	p.expired = !t.IsZero() && !t.After(time.Now())
	p.mu.Unlock()
	p.wake.Signal()
	return nil
}

// address is the pipe's own, which pion only logs.
type address struct{}

func (address) Network() string { return "udp" }
func (address) String() string  { return "pipe" }
