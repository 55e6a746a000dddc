package transport

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

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

const (
	maxDatagram   = 2048    // a record with the longest message has less than 1,400
	receiveBuffer = 4 << 20 // SO_RCVBUF
	sendBuffer    = 1 << 20 // SO_SNDBUF
	batchSize     = 32      // datagrams in one system call
	kernelBytes   = 1024    // of the send buffer, for a small datagram
)

// buffers holds buffers of maxDatagram bytes.
var buffers = sync.Pool{New: func() any { return new([maxDatagram]byte) }}

// socket is one UDP socket, IPv4 or both families, that reads and writes many datagrams in one
// system call where the system can.
type socket struct {
	conn  *net.UDPConn
	batch interface {
		ReadBatch([]ipv4.Message, int) (int, error)
		WriteBatch([]ipv4.Message, int) (int, error)
	}
	receiveBuffer int           // as the kernel granted it, in bytes; 0 if it does not say
	sendBuffer    int           // the same
	lost          atomic.Uint64 // datagrams that could not be sent

	mu sync.Mutex
	// Guarded by mu. It returns the bytes of the send buffer in use, or 0 if the kernel does not
	// say.
	unsent  func() int
	waiting []ipv4.Message // guarded by mu; to be sent
	sending bool           // guarded by mu; a caller is in the system call
}

func openSocket(addr string) (*socket, error) {
	ua, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		return nil, fmt.Errorf("transport: listen %s: %w", addr, err)
	}
	c, err := net.ListenUDP("udp", ua)
	if err != nil {
		return nil, fmt.Errorf("transport: listen %s: %w", addr, err)
	}
	s := &socket{conn: c}
	if s.batch = ipv6.NewPacketConn(c); c.LocalAddr().(*net.UDPAddr).IP.To4() != nil {
		s.batch = ipv4.NewPacketConn(c)
	}
	_ = c.SetReadBuffer(receiveBuffer) // the size that was granted is read back
	_ = c.SetWriteBuffer(sendBuffer)
	raw, err := c.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) {
			s.receiveBuffer, _ = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF)
			if runtime.GOOS == "linux" {
				s.receiveBuffer /= 2 // socket(7): it grants twice what may be filled, for its own bookkeeping
			}
			s.sendBuffer, _ = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF)
		})
	}
	if err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("transport: listen %s: %w", addr, err)
	}
	s.unsent = func() (n int) {
		_ = raw.Control(func(fd uintptr) { n = readUnsent(fd) })
		return n
	}
	return s, nil
}

// read calls handle with each datagram until the socket is closed, and then returns nil. The bytes
// are only valid during the call.
func (s *socket) read(handle func(b []byte, from netip.AddrPort)) error {
	ms := make([]ipv4.Message, batchSize)
	for i := range ms {
		ms[i].Buffers = [][]byte{make([]byte, maxDatagram+1)}
	}
	for failures := 0; ; {
		n, err := s.batch.ReadBatch(ms, 0)
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
		for i := range ms[:n] {
			m := &ms[i]
			if ua, ok := m.Addr.(*net.UDPAddr); ok && m.N <= maxDatagram {
				from := ua.AddrPort()
				handle(m.Buffers[0][:m.N], netip.AddrPortFrom(from.Addr().Unmap(), from.Port()))
			}
		}
	}
}

// writeUnproven sends a datagram to an address where nobody has proven a key. For an unused address
// of this network the kernel keeps the datagram for seconds, while it looks for the owner (ARP).
// Hellos from such addresses would fill the send buffer with our answers, and then nobody would get
// any. So these datagrams may only fill a quarter of it, and a half if a node was last seen at the
// address.
func (s *socket) writeUnproven(b []byte, to netip.AddrPort, known bool) {
	share := s.sendBuffer / 4
	if known {
		share = s.sendBuffer / 2
	}
	s.mu.Lock()
	taken := len(s.waiting)*kernelBytes + s.unsent()
	s.mu.Unlock()
	if taken > 0 && taken >= share {
		s.lost.Add(1)
		return
	}
	s.write(b, to)
}

// isFull tells whether a write would block until the kernel has sent something. No writer may
// block: one of them is the reading goroutine.
func (s *socket) isFull() bool {
	s.mu.Lock()
	n := s.unsent()
	s.mu.Unlock()
	return n > 0 && n >= s.sendBuffer
}

// write sends a datagram, or loses it when the send buffer is full. While one caller is in the
// system call, the others queue their datagrams, and that caller then sends them all at once.
func (s *socket) write(b []byte, to netip.AddrPort) {
	s.mu.Lock()
	if s.sending {
		if len(s.waiting) >= 1024 {
			s.lost.Add(1)
		} else {
			buf := buffers.Get().(*[maxDatagram]byte)
			s.waiting = append(s.waiting, ipv4.Message{Buffers: [][]byte{buf[:copy(buf[:], b)]},
				Addr: net.UDPAddrFromAddrPort(to)})
		}
		s.mu.Unlock()
		return
	}
	s.sending = true
	s.mu.Unlock()
	if s.isFull() {
		s.lost.Add(1)
	} else if _, err := s.conn.WriteToUDPAddrPort(b, to); err != nil {
		s.lost.Add(1)
	}
	for {
		s.mu.Lock()
		ms := s.waiting
		s.waiting = nil
		s.sending = len(ms) > 0
		s.mu.Unlock()
		if len(ms) == 0 {
			return
		}
		s.writeAll(ms)
		for i := range ms {
			buffers.Put((*[maxDatagram]byte)(ms[i].Buffers[0][:maxDatagram]))
		}
	}
}

// writeAll sends each message once. One that cannot be sent does not stop the others.
func (s *socket) writeAll(ms []ipv4.Message) {
	for len(ms) > 0 {
		n, err := 0, error(nil)
		if s.isFull() {
			s.lost.Add(uint64(len(ms)))
			return
		}
		// Elsewhere WriteBatch is a loop that knows no IPv4 on a socket of both families.
		if runtime.GOOS == "linux" {
			n, err = s.batch.WriteBatch(ms, 0)
		} else if _, err = s.conn.WriteTo(ms[0].Buffers[0], ms[0].Addr); err == nil {
			n = 1
		}
		if err != nil || n == 0 {
			s.lost.Add(1)
			n = max(n, 0) + 1
		}
		ms = ms[min(n, len(ms)):]
	}
}
