// Package badnet is a TCP proxy on loopback that cuts, freezes and delays what goes through it, and a
// server that says what it is told to. It is for tests only.
package badnet

import (
	"net"
	"sync"
	"testing"
	"time"
)

// Proxy passes connections on to a server.
type Proxy struct {
	listener net.Listener
	work     sync.WaitGroup

	mu     sync.Mutex
	target string        // guarded by mu
	open   []net.Conn    // guarded by mu
	frozen chan struct{} // guarded by mu; closed while data flows
	delay  time.Duration // guarded by mu
	closed bool          // guarded by mu
}

// Start starts a proxy before target, which is host:port, until the test ends.
func Start(t testing.TB, target string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{listener: l, target: target, frozen: make(chan struct{})}
	close(p.frozen)
	p.work.Go(p.accept)
	t.Cleanup(func() {
		p.mu.Lock()
		p.closed = true
		p.mu.Unlock()
		l.Close()
		p.Thaw()
		p.Cut()
		p.work.Wait()
	})
	return p
}

// Addr is host:port of the proxy.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Lead passes new connections on to another server. Those that are open stay until Cut.
func (p *Proxy) Lead(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

// Cut ends all connections.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.open {
		c.(*net.TCPConn).SetLinger(0) // what is on the way is lost
		c.Close()
	}
	p.open = nil
}

// Freeze lets nothing through, and lets new connections wait, as a network without a route does.
func (p *Proxy) Freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.frozen:
		p.frozen = make(chan struct{})
	default:
	}
}

// Thaw ends Freeze.
func (p *Proxy) Thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.frozen:
	default:
		close(p.frozen)
	}
}

// Delay holds each piece of data back for this time.
func (p *Proxy) Delay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

func (p *Proxy) accept() {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.work.Go(func() { p.serve(in) })
	}
}

func (p *Proxy) serve(in net.Conn) {
	defer in.Close()
	p.wait()
	p.mu.Lock()
	target := p.target
	p.mu.Unlock()
	out, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer out.Close()
	p.mu.Lock()
	if p.closed || p.target != target {
		p.mu.Unlock()
		return
	}
	p.open = append(p.open, in, out)
	p.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { p.pass(in, out) })
	p.pass(out, in)
	both.Wait()
}

func (p *Proxy) pass(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	buffer := make([]byte, 16<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			p.wait()
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// wait waits for the delay, and while the proxy is frozen.
func (p *Proxy) wait() {
	p.mu.Lock()
	frozen, delay := p.frozen, p.delay
	p.mu.Unlock()
	<-frozen
	time.Sleep(delay)
}

// Faults are what a long feed of batches goes through, by the number of the batch: cuts before and
// within it, delays, silence, and a server that is started again at once and after a while. stop ends
// the server, and start starts it, also one that runs.
func (p *Proxy) Faults(batches int, stop, start func()) map[int]func() {
	return map[int]func(){
		batches / 10: p.Cut,
		batches / 5:  func() { time.AfterFunc(2*time.Millisecond, p.Cut) },
		batches / 4:  func() { p.Delay(3 * time.Millisecond); time.AfterFunc(5*time.Millisecond, p.Cut) },
		batches / 3:  func() { p.Delay(0); start() },
		batches / 2: func() {
			p.Freeze()
			time.AfterFunc(100*time.Millisecond, func() { p.Cut(); p.Thaw() })
		},
		batches * 3 / 4: func() { stop(); time.AfterFunc(300*time.Millisecond, start) },
	}
}

// Answer starts a server that sends these bytes on each connection, and then only listens. It returns
// its host:port.
func Answer(t testing.TB, bytes string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Write([]byte(bytes))
			c.(*net.TCPConn).CloseWrite()
			c.Read(make([]byte, 1000))
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}
