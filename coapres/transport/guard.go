package transport

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3/pkg/protocol/alert"

	"latchkey/coapres/transport/record"
)

// nodeSocket is a node's socket below pion. It carries one association, and for a while also the
// one that will replace it. Both use one port, so that the gateway finds the node at the same
// address.
type nodeSocket struct {
	conn    *net.UDPConn
	gateway netip.AddrPort

	mu     sync.Mutex
	guards []*guard // guarded by mu
	closed bool     // guarded by mu
}

func openNodeSocket(gateway netip.AddrPort) (*nodeSocket, error) {
	c, err := net.ListenUDP("udp", nil)
	if err != nil {
		return nil, err
	}
	return &nodeSocket{conn: c, gateway: netip.AddrPortFrom(gateway.Addr().Unmap(), gateway.Port())}, nil
}

// addGuard adds an association. The first one starts the reading goroutine, and the socket closes
// with the last one.
func (s *nodeSocket) addGuard() (*guard, error) {
	g := &guard{s: s, hints: make(chan struct{}, 1)}
	g.wake.L = &g.mu
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, net.ErrClosed
	}
	if s.guards = append(s.guards, g); len(s.guards) == 1 {
		go s.read()
	}
	return g, nil
}

func (s *nodeSocket) removeGuard(g *guard) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, o := range s.guards {
		if o == g {
			s.guards = append(s.guards[:i:i], s.guards[i+1:]...)
		}
	}
	if len(s.guards) == 0 && !s.closed {
		s.closed = true
		_ = s.conn.Close()
	}
}

// listGuards returns the present associations in a slice that never changes.
func (s *nodeSocket) listGuards() []*guard {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.guards[:len(s.guards):len(s.guards)]
}

// read gives each association the records of each datagram that it may see, until the socket is
// closed.
func (s *nodeSocket) read() {
	for buf := make([]byte, maxDatagram); ; {
		n, from, err := s.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			for _, g := range s.listGuards() {
				_ = g.Close()
			}
			return
		}
		if from.Port() != s.gateway.Port() ||
			from.Addr().Unmap().WithZone("") != s.gateway.Addr().WithZone("") {
			continue
		}
		guards := s.listGuards()
		for _, g := range guards {
			g.queueRecords(buf[:n], len(guards) == 1)
		}
	}
}

// guard is one association's part of the socket. It lets through what the gateway may send, and no
// plaintext record once the handshake is complete: a forged one would end the session.
type guard struct {
	s     *nodeSocket
	done  atomic.Bool   // the handshake is complete
	mute  atomic.Bool   // nothing is sent any more
	alert atomic.Uint32 // the last plaintext alert, which anybody can forge
	hints chan struct{} // holds one token: a HelloRequest came
	plain uint64        // used by the reading goroutine; number of the next plaintext record

	mu      sync.Mutex
	queue   [][]byte  // guarded by mu
	closed  bool      // guarded by mu
	expired bool      // guarded by mu; ReadFrom returns at once
	wake    sync.Cond // of mu: ReadFrom has something to return
}

// queueRecords queues the records of a datagram that may pass. alone tells that the socket has no
// other association.
func (g *guard) queueRecords(b []byte, alone bool) {
	var kept []byte
	for len(b) > 0 {
		r, rest, ok := record.Split(b)
		if !ok {
			break
		}
		if g.admits(r, alone) {
			at := len(kept)
			kept = append(kept, r...)
			g.renumber(kept[at:])
		}
		b = rest
	}
	if len(kept) == 0 {
		return
	}
	g.mu.Lock()
	if !g.closed && len(g.queue) < queueLive {
		g.queue = append(g.queue, kept)
	}
	g.mu.Unlock()
	g.wake.Signal()
}

func (g *guard) admits(r []byte, alone bool) bool {
	if r[0] == record.TLS12CID {
		return false // we offer no connection ID of our own
	}
	// A Finished is for the handshake. All else is for the session beside it.
	if binary.BigEndian.Uint16(r[3:]) > 0 {
		return record.IsEncrypted(r) && (alone || (r[0] == record.Handshake) != g.done.Load())
	}
	switch r[0] {
	case record.Alert:
		if len(r) == record.HeaderSize+2 {
			g.alert.Store(uint32(r[record.HeaderSize+1]))
		}
	case record.ChangeCipherSpec:
		return !g.done.Load() && len(r) == record.HeaderSize+1 && r[record.HeaderSize] == 1
	case record.Handshake:
		if g.done.Load() {
			g.noteHint(r)
			return false
		}
		typ, number, ok := record.ParseHandshake(r)
		if !ok || number > 4 {
			return false
		}
		switch typ {
		case record.HelloVerifyRequest, record.ServerHello, record.ServerKeyExchange, record.ServerHelloDone:
			return true
		}
	}
	return false
}

func (g *guard) noteHint(r []byte) {
	if !record.IsHelloRequest(r) {
		return
	}
	select {
	case g.hints <- struct{}{}:
	default:
	}
}

// renumber gives plaintext records numbers of our own, because nothing authenticates theirs. The
// gateway's answer to a forged hello has the number of that hello (RFC 6347 §4.2.1). After a high
// number pion would drop all that follows as old.
func (g *guard) renumber(r []byte) {
	if r[3] == 0 && r[4] == 0 {
		binary.BigEndian.PutUint64(r[3:], g.plain) // the epoch is 0
		g.plain++
	}
}

// nameAlert returns the name of the plaintext alert that came last, for the error message. It is
// empty if none came.
func (g *guard) nameAlert() string {
	if d := g.alert.Load(); d != 0 {
		return alert.Description(d).String()
	}
	return ""
}

// ReadFrom returns the allowed records of the next datagram. The address is the one that pion was
// given.
func (g *guard) ReadFrom(b []byte) (int, net.Addr, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.queue) == 0 && !g.closed && !g.expired {
		g.wake.Wait()
	}
	switch {
	case g.closed:
		return 0, nil, net.ErrClosed
	case g.expired:
		return 0, nil, os.ErrDeadlineExceeded
	}
	n := copy(b, g.queue[0])
	g.queue = g.queue[1:]
	return n, net.UDPAddrFromAddrPort(g.s.gateway), nil
}

func (g *guard) WriteTo(b []byte, to net.Addr) (int, error) {
	if g.mute.Load() {
		return len(b), nil
	}
	return g.s.conn.WriteTo(b, to)
}

// Close closes the socket, unless another association still uses it. Twice is harmless.
func (g *guard) Close() error {
	g.mu.Lock()
	g.closed, g.queue = true, nil
	g.mu.Unlock()
	g.wake.Signal()
	g.s.removeGuard(g)
	return nil
}

func (g *guard) LocalAddr() net.Addr            { return g.s.conn.LocalAddr() }
func (g *guard) SetDeadline(t time.Time) error  { return g.SetReadDeadline(t) }
func (*guard) SetWriteDeadline(time.Time) error { return nil }
func (g *guard) SetReadDeadline(t time.Time) error {
	g.mu.Lock()
	g.expired = !t.IsZero() && !t.After(time.Now())
	g.mu.Unlock()
	g.wake.Signal()
	return nil
}
