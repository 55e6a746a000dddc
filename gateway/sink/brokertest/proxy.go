package brokertest

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// Proxy passes TCP connections on to a server, and can do to them what networks do.
type Proxy struct {
	listener net.Listener
	to       string
	running  sync.WaitGroup

	mu     sync.Mutex
	thaw   *sync.Cond
	conns  map[net.Conn]bool // guarded by mu; both ends of each connection
	frozen bool              // guarded by mu
	closed bool              // guarded by mu
}

// StartProxy starts a proxy to an address, which ends with the test.
func StartProxy(t *testing.T, to string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	Check(t, err)
	p := &Proxy{listener: l, to: to, conns: map[net.Conn]bool{}}
	p.thaw = sync.NewCond(&p.mu)
	p.running.Go(p.accept)
	t.Cleanup(p.stop)
	return p
}

// Port returns the port of 127.0.0.1 that the proxy listens on.
func (p *Proxy) Port() string {
	_, port, _ := net.SplitHostPort(p.listener.Addr().String())
	return port
}

// Freeze stops all bytes, in both directions and also on new connections, until Thaw. No
// connection ends by it.
func (p *Proxy) Freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frozen = true
}

// Thaw ends Freeze. The bytes that were held back go on.
func (p *Proxy) Thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frozen = false
	p.thaw.Broadcast()
}

// Cut closes all connections. What was on its way is lost.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = c.Close()
	}
	clear(p.conns)
}

func (p *Proxy) stop() {
	_ = p.listener.Close()
	p.mu.Lock()
	p.closed, p.frozen = true, false
	p.thaw.Broadcast()
	p.mu.Unlock()
	p.Cut()
	p.running.Wait()
}

func (p *Proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.running.Go(func() { p.pass(c) })
	}
}

func (p *Proxy) pass(c net.Conn) {
	s, err := net.DialTimeout("tcp", p.to, 10*time.Second)
	if err != nil {
		_ = c.Close()
		return
	}
	p.mu.Lock()
	closed := p.closed
	if !closed {
		p.conns[c], p.conns[s] = true, true
	}
	p.mu.Unlock()
	if closed {
		_, _ = c.Close(), s.Close()
		return
	}
	p.running.Go(func() { p.copy(c, s) })
	p.copy(s, c)
}

func (p *Proxy) copy(to, from net.Conn) {
	_, _ = io.Copy(gate{p, to}, from)
	p.mu.Lock()
	delete(p.conns, to)
	delete(p.conns, from)
	p.mu.Unlock()
	_, _ = to.Close(), from.Close()
}

// gate writes to a connection while the proxy is not frozen.
type gate struct {
	p  *Proxy
	to net.Conn
}

func (g gate) Write(b []byte) (int, error) {
	g.p.mu.Lock()
	for g.p.frozen {
		g.p.thaw.Wait()
	}
	g.p.mu.Unlock()
	return g.to.Write(b)
}
