package transport

import (
	"encoding/binary"
	"net"
	"sync"
	"testing"
	"time"

	"latchkey/coapres/transport/record"
)

// nat stands between a node and the gateway, and can change the port that the gateway sees.
type nat struct {
	gateway *net.UDPAddr
	front   *net.UDPConn
	wg      sync.WaitGroup

	mu     sync.Mutex
	node   *net.UDPAddr            // guarded by mu
	back   *net.UDPConn            // guarded by mu
	down   []int                   // guarded by mu; sizes of the gateway's datagrams
	up     [][]byte                // guarded by mu; the node's datagrams
	tap    func(up bool, b []byte) // guarded by mu; see tapDatagrams
	stolen int                     // guarded by mu; bytes of the diverted datagram
	away   *net.UDPConn            // guarded by mu; if set, sends the node's next datagram
}

func newNAT(t *testing.T, gateway net.Addr) *nat {
	t.Helper()
	front, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	n := &nat{gateway: gateway.(*net.UDPAddr), front: front}
	n.rebind(t)
	n.wg.Go(func() {
		for buf := make([]byte, 8192); ; {
			k, node, err := front.ReadFromUDP(buf)
			if err != nil {
				return
			}
			n.mu.Lock()
			n.node = node
			n.up = append(n.up, append([]byte(nil), buf[:k]...))
			from, away, tap := n.back, n.away, n.tap
			if away != nil {
				from, n.away, n.stolen = away, nil, k
			}
			if tap != nil {
				n.mu.Unlock()
				tap(true, buf[:k])
				n.mu.Lock()
			}
			_, _ = from.Write(buf[:k])
			n.mu.Unlock()
		}
	})
	t.Cleanup(func() {
		_ = front.Close()
		n.mu.Lock()
		_ = n.back.Close()
		n.mu.Unlock()
		n.wg.Wait()
	})
	return n
}

// throughNAT opens an association of the node known through a nat of its own.
func (s *site) throughNAT(t *testing.T, h Handler) (*nat, *Conn) {
	t.Helper()
	n := newNAT(t, s.Addr())
	c, err := s.tryDial(t, n.addr(), known, s.secret, h)
	if err != nil {
		t.Fatal(err)
	}
	return n, c
}

func (n *nat) addr() string { return n.front.LocalAddr().String() }

// rebind changes the port that the gateway sees.
func (n *nat) rebind(t *testing.T) {
	t.Helper()
	back, err := net.DialUDP("udp", nil, n.gateway)
	if err != nil {
		t.Fatal(err)
	}
	n.mu.Lock()
	old := n.back
	n.back = back
	n.mu.Unlock()
	if old != nil {
		_ = old.Close()
	}
	n.wg.Go(func() {
		for buf := make([]byte, 8192); ; {
			k, err := back.Read(buf)
			if err != nil {
				return
			}
			n.mu.Lock()
			n.down = append(n.down, k)
			node, tap := n.node, n.tap
			n.mu.Unlock()
			if tap != nil {
				tap(false, buf[:k])
			}
			_, _ = n.front.WriteToUDP(buf[:k], node)
		}
	})
}

// tapDatagrams calls f with each datagram before it is passed on. f may call sendToNode.
func (n *nat) tapDatagrams(f func(up bool, b []byte)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tap = f
}

// takeSizes returns the sizes of the gateway's datagrams since the last call.
func (n *nat) takeSizes() []int {
	n.mu.Lock()
	defer n.mu.Unlock()
	d := n.down
	n.down = nil
	return d
}

// firstHello returns the node's first datagram, a ClientHello.
func (n *nat) firstHello() []byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.up[0]
}

// divertNext sends the node's next datagram from u.
func (n *nat) divertNext(u *net.UDPConn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.away = u
}

// sendToGateway sends a datagram to the gateway from the node's address.
func (n *nat) sendToGateway(b []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, _ = n.back.Write(b)
}

// addCookie makes the second ClientHello from the first one and the HelloVerifyRequest that
// answered it.
func addCookie(first, verify []byte) []byte {
	h, err := record.ParseHello(first)
	if err != nil {
		panic(err)
	}
	cookie := verify[record.HeaderSize+record.HandshakeHeaderSize+3:]
	out := append([]byte(nil), first[:h.CookieAt]...)
	out = append(out, byte(len(cookie)))
	out = append(out, cookie...)
	out = append(out, first[h.CookieAt+1:]...)
	out[10]++ // the record's number
	binary.BigEndian.PutUint16(out[11:], uint16(len(out)-record.HeaderSize))
	m := out[record.HeaderSize:]
	m[2], m[3] = byte((len(m)-record.HandshakeHeaderSize)>>8), byte(len(m)-record.HandshakeHeaderSize)
	m[5] = 1
	copy(m[9:12], m[1:4])
	return out
}

// beginHandshake sends a hello from u, returns the cookie and sends nothing more. It returns when
// the listener has answered.
func beginHandshake(t *testing.T, u *net.UDPConn, hello []byte) {
	t.Helper()
	buf := make([]byte, 2048)
	for _, kind := range []byte{record.HelloVerifyRequest, record.ServerHello} {
		if _, err := u.Write(hello); err != nil {
			t.Fatal(err)
		}
		_ = u.SetReadDeadline(time.Now().Add(5 * time.Second))
		n, err := u.Read(buf)
		if err != nil || n < record.HeaderSize+1 || buf[record.HeaderSize] != kind {
			t.Fatalf("got % x, %v, want a message of type %d", buf[:min(n, 32)], err, kind)
		}
		if kind == record.HelloVerifyRequest {
			hello = addCookie(hello, buf[:n])
		}
	}
}
