package transport

import (
	"encoding/binary"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3/pkg/protocol/alert"

	"latchkey/coapres/transport/pipe"
	"latchkey/coapres/transport/record"
	"latchkey/coapres/transport/record/protect"
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

// openNodeSocket opens a socket at a port that the system chooses, and at its address of choice if
// source is not valid.
func openNodeSocket(source netip.Addr, gateway netip.AddrPort) (*nodeSocket, error) {
	var at *net.UDPAddr
	if source.IsValid() {
		at = net.UDPAddrFromAddrPort(netip.AddrPortFrom(source, 0))
	}
	c, err := net.ListenUDP("udp", at)
	if err != nil {
		return nil, err
	}
	return &nodeSocket{conn: c, gateway: netip.AddrPortFrom(gateway.Addr().Unmap(), gateway.Port())}, nil
}

// addGuard adds an association. The first one starts the reading goroutine, and the socket closes
// with the last one.
func (s *nodeSocket) addGuard(to net.Addr) (*guard, error) {
	g := &guard{s: s, hints: make(chan struct{}, 1)}
	g.pipe = pipe.New(to, g.writeHandshake)
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

func (s *nodeSocket) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
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
	w := new(workspace)
	for buf := make([]byte, maxDatagram); ; {
		n, from, err := s.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			s.mu.Lock()
			s.closed = true
			s.mu.Unlock()
			_ = s.conn.Close()
			for _, g := range s.listGuards() {
				g.socketGone()
			}
			return
		}
		if from.Port() != s.gateway.Port() ||
			from.Addr().Unmap().WithZone("") != s.gateway.Addr().WithZone("") {
			continue
		}
		guards := s.listGuards()
		for _, g := range guards {
			g.receiveDatagram(buf[:n], len(guards) == 1, w)
		}
	}
}

// guard is the node's end of one association, first of the handshake and then of its records. It
// lets through what the gateway may send, and no plaintext record once the handshake is complete.
type guard struct {
	fixed
	s     *nodeSocket
	pipe  *pipe.Pipe
	conn  *Conn         // set before the first message is received
	done  atomic.Bool   // the handshake is complete, and nothing more of what pion writes is sent
	mute  atomic.Bool   // nothing is sent any more
	alert atomic.Uint32 // the last plaintext alert, which anybody can forge
	hints chan struct{} // holds one token: a HelloRequest came
	secure
}

// queueHandshake is how many records of the gateway's wait for pion.
const queueHandshake = 32

// receiveDatagram handles the records of a datagram that may pass. alone tells that the socket has
// no other association.
func (g *guard) receiveDatagram(b []byte, alone bool, w *workspace) {
	now := time.Now()
	for len(b) > 0 {
		r, rest, ok := record.Split(b)
		if !ok {
			return
		}
		b = rest
		switch {
		case !g.admits(r, alone):
		case r[3] == 0 && r[4] == 0:
			g.pipe.Give(r, queueHandshake)
		default:
			// Forged records may come first, and must not keep out the gateway's Finished.
			if kept, _ := g.keep(r, g.s.gateway, now, true); !kept {
				g.receive(r, now, w)
			} else if r[0] != record.ApplicationData {
				g.pipe.Give(r, queueHandshake)
			}
		}
	}
}

// receive opens a record and does what it asks.
func (g *guard) receive(r []byte, at time.Time, w *workspace) {
	g.mu.Lock()
	c, _, err := g.open(r, w)
	g.mu.Unlock()
	switch {
	case err != nil:
	case c.Type == record.ApplicationData:
		g.conn.receive(c.Content, at)
	case c.Type == record.Alert:
		if alert, ok := protect.ParseAlert(c.Content); ok && alert.Ends() {
			g.mute.CompareAndSwap(false, alert != protect.CloseNotify) // a fatal one is not answered
			_ = g.conn.Close()
		}
	}
}

// begin handles the records that came during the handshake, and from then on each as it comes.
func (g *guard) begin() {
	w := workspaces.Get().(*workspace)
	defer workspaces.Put(w)
	g.goLive(func(k early) { g.receive(k.record, k.at, w) })
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

// nameAlert returns the name of the plaintext alert that came last, for the error message. It is
// empty if none came.
func (g *guard) nameAlert() string {
	if d := g.alert.Load(); d != 0 {
		return alert.Description(d).String()
	}
	return ""
}

// writeHandshake sends what pion wrote, until the handshake is complete.
func (g *guard) writeHandshake(b []byte) {
	if !g.done.Load() && !g.mute.Load() {
		_, _ = g.s.conn.WriteToUDPAddrPort(b, g.s.gateway) // one that is lost is sent again
	}
}

// Queue sends one message at once: a node has few.
func (g *guard) Queue(m []byte) error { return g.sendRecord(record.ApplicationData, m) }

func (g *guard) sendRecord(typ uint8, content []byte) (err error) {
	if g.mute.Load() {
		return nil
	}
	if e := g.seal(typ, content, func(r []byte) { _, err = g.s.conn.WriteToUDPAddrPort(r, g.s.gateway) }); e != nil {
		go func() { _ = g.conn.Close() }() // no more numbers
		return e
	}
	return err
}

// Close ends the association, with a close_notify unless it is mute, and closes the socket, unless
// another association still uses it. [Conn.Close] calls it once.
func (g *guard) Close() error {
	err := g.sendRecord(record.Alert, protect.CloseNotify.AppendTo(nil))
	g.mute.Store(true)
	g.sealer.End()
	g.s.removeGuard(g)
	return err
}

// abandon ends an association whose handshake is not complete.
func (g *guard) abandon() {
	_ = g.pipe.Close()
	g.s.removeGuard(g)
}

// socketGone ends the association because the socket cannot be read any more.
func (g *guard) socketGone() {
	_ = g.pipe.Close()
	g.mu.Lock()
	ready := g.ready
	g.mu.Unlock()
	if ready {
		_ = g.conn.Close()
	}
}

func (g *guard) RemoteAddr() net.Addr { return net.UDPAddrFromAddrPort(g.s.gateway) }
