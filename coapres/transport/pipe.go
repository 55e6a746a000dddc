package transport

import (
	"encoding/binary"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"latchkey/coapres/transport/record"
)

// pipe is the net.PacketConn below pion during one handshake. It is given records one at a time,
// and passes on what pion writes. Its Close ends nothing else: pion closes when we take over.
type pipe struct {
	peer net.Addr
	out  func(b []byte)

	mu       sync.Mutex
	queue    [][]byte  // guarded by mu
	closed   bool      // guarded by mu
	expired  bool      // guarded by mu; ReadFrom returns at once
	sequence uint64    // guarded by mu; of the next plaintext record for pion
	wake     sync.Cond // of mu: ReadFrom has something to return
}

func newPipe(peer net.Addr, out func(b []byte)) *pipe {
	p := &pipe{peer: peer, out: out}
	p.wake.L = &p.mu
	return p
}

// give queues a copy of one record for pion, or drops it if room records are waiting.
func (p *pipe) give(r []byte, room int) bool {
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
func (p *pipe) ReadFrom(b []byte) (int, net.Addr, error) {
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

func (p *pipe) WriteTo(b []byte, _ net.Addr) (int, error) {
	p.out(b)
	return len(b), nil
}

func (p *pipe) Close() error {
	p.mu.Lock()
	p.closed, p.queue = true, nil
	p.mu.Unlock()
	p.wake.Signal()
	return nil
}

func (p *pipe) LocalAddr() net.Addr              { return stableAddr("pipe") }
func (p *pipe) SetDeadline(t time.Time) error    { return p.SetReadDeadline(t) }
func (*pipe) SetWriteDeadline(_ time.Time) error { return nil }
func (p *pipe) SetReadDeadline(t time.Time) error {
	p.mu.Lock()
	p.expired = !t.IsZero() && !t.After(time.Now())
	p.mu.Unlock()
	p.wake.Signal()
	return nil
}
