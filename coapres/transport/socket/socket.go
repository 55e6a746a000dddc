// Package socket reads and writes the datagrams of one UDP socket, many of them in one system call
// where the system can. It allocates nothing per datagram, and no write waits. It does not know what
// is in a datagram.
package socket

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// MaxDatagram is how long a datagram may be, in bytes. A record with the longest message has less
	// than 1,400.
	MaxDatagram = 2048
	// WantReceiveBuffer is the SO_RCVBUF that is asked for, in bytes.
	WantReceiveBuffer = 4 << 20

	wantSendBuffer = 1 << 20 // SO_SNDBUF
	batchSize      = 32      // datagrams in one system call
	maxQueued      = 1024    // datagrams that wait
	keptBytes      = 1 << 16 // of a queue that is empty
	kernelBytes    = 1024    // of the send buffer, for a small datagram
)

// Socket is one UDP socket, IPv4 or both families.
type Socket struct {
	ReceiveBuffer int // as the kernel granted it, in bytes; 0 if it does not say
	SendBuffer    int // the same

	conn *net.UDPConn
	raw  syscall.RawConn
	lost atomic.Uint64

	// unsent returns the bytes of the send buffer in use, or 0 if the kernel does not say.
	unsent func() int

	mu      sync.Mutex
	queue   outgoing  // guarded by mu
	sending bool      // guarded by mu; a caller is in the system call
	sent    sync.Cond // of mu: sending has become false
	// Used by the caller that is sending.
	under outgoing
	out   writer
}

// outgoing holds datagrams that wait, in one piece of memory.
type outgoing struct {
	bytes []byte
	list  []datagram
}

type datagram struct {
	start, end int
	to         netip.AddrPort
}

func (o *outgoing) add(b []byte, to netip.AddrPort) {
	start := len(o.bytes)
	o.bytes = append(o.bytes, b...)
	o.list = append(o.list, datagram{start, len(o.bytes), to})
}

// reset empties o. After a burst its memory is let go.
func (o *outgoing) reset() {
	if o.bytes, o.list = o.bytes[:0], o.list[:0]; cap(o.bytes) > keptBytes {
		*o = outgoing{}
	}
}

// Open binds a socket to "host:port". unsent may be nil; a test gives its own figure for the bytes of
// the send buffer in use.
func Open(addr string, unsent func() int) (*Socket, error) {
	ua, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		return nil, fmt.Errorf("transport: listen %s: %w", addr, err)
	}
	c, err := net.ListenUDP("udp", ua)
	if err != nil {
		return nil, fmt.Errorf("transport: listen %s: %w", addr, err)
	}
	s := &Socket{conn: c, unsent: unsent}
	s.sent.L = &s.mu
	_ = c.SetReadBuffer(WantReceiveBuffer) // the size that was granted is read back
	_ = c.SetWriteBuffer(wantSendBuffer)
	s.raw, err = c.SyscallConn()
	if err == nil {
		err = s.raw.Control(func(fd uintptr) {
			s.ReceiveBuffer, _ = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF)
			if runtime.GOOS == "linux" {
				s.ReceiveBuffer /= 2 // socket(7): it grants twice what may be filled, for its own bookkeeping
			}
			s.SendBuffer, _ = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF)
			s.out.init(fd, c, s.raw)
		})
	}
	if err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("transport: listen %s: %w", addr, err)
	}
	if s.unsent == nil {
		s.unsent = s.readUnsent
	}
	return s, nil
}

func (s *Socket) readUnsent() (n int) {
	_ = s.raw.Control(func(fd uintptr) { n = readUnsent(fd) })
	return n
}

// Addr returns the address that the socket is bound to.
func (s *Socket) Addr() net.Addr { return s.conn.LocalAddr() }

// Lost returns how many datagrams could not be sent.
func (s *Socket) Lost() uint64 { return s.lost.Load() }

// Close sends what is queued and closes the socket.
func (s *Socket) Close() error {
	s.Flush()
	s.mu.Lock()
	for s.sending { // by another caller
		s.sent.Wait()
	}
	s.mu.Unlock()
	return s.conn.Close()
}

// Read calls handle with each datagram until the socket is closed, and then returns nil. The bytes
// are only valid during the call. After each batch of datagrams it calls flush. Several goroutines
// may read; each datagram goes to one of them.
func (s *Socket) Read(handle func(b []byte, from netip.AddrPort), flush func()) error {
	in := newReader(s.conn, s.raw)
	for failures := 0; ; {
		n, err := in.read()
		switch {
		case err == nil:
			failures = 0
		case errors.Is(err, net.ErrClosed):
			return nil
		case failures == 100:
			return err
		default: // an ICMP error about an earlier datagram of ours
			failures++
			time.Sleep(time.Millisecond)
			continue
		}
		for i := range n {
			if b, from, ok := in.take(i); ok {
				handle(b, from)
			}
		}
		flush()
		runtime.Gosched() // while others act on these datagrams, more may come
	}
}

// QueueUnproven queues a datagram for an address where nobody has proven a key. For an unused address
// of this network the kernel keeps the datagram for seconds, while it looks for the owner (ARP).
// Hellos from such addresses would fill the send buffer with our answers, and then nobody would get
// any. So these datagrams may only fill a quarter of it, and a half if a node was last seen at the
// address.
func (s *Socket) QueueUnproven(b []byte, to netip.AddrPort, known bool) {
	share := s.SendBuffer / 4
	if known {
		share = s.SendBuffer / 2
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if taken := len(s.queue.list)*kernelBytes + s.unsent(); taken > 0 && taken >= share {
		s.lost.Add(1)
		return
	}
	s.enqueue(b, to)
}

// Queue keeps a copy of a datagram until anybody calls Flush. It is lost if too many wait.
func (s *Socket) Queue(b []byte, to netip.AddrPort) {
	s.mu.Lock()
	s.enqueue(b, to)
	s.mu.Unlock()
}

// enqueue queues a datagram. The caller holds s.mu.
func (s *Socket) enqueue(b []byte, to netip.AddrPort) {
	if len(s.queue.list) >= maxQueued {
		s.lost.Add(1)
		return
	}
	s.queue.add(b, to)
}

// Flush sends what is queued. A datagram for which the send buffer has no room is lost: no writer
// may wait, because one of them is the reading goroutine. While one caller is in the system call, the
// others return at once, and that caller then sends what they have queued.
func (s *Socket) Flush() {
	s.mu.Lock()
	if s.sending {
		s.mu.Unlock()
		return
	}
	for len(s.queue.list) > 0 {
		s.sending = true
		s.queue, s.under = s.under, s.queue
		s.mu.Unlock()
		s.lost.Add(s.out.write(&s.under))
		s.under.reset()
		s.mu.Lock()
	}
	s.sending = false
	s.sent.Broadcast()
	s.mu.Unlock()
}
