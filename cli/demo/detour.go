package demo

import (
	"fmt"
	"net"
	"sync"
)

// detour is a TCP proxy before the broker: somebody on the way, who can hold messages back and cut
// connections.
type detour struct {
	listener net.Listener
	broker   string // host:port
	work     sync.WaitGroup

	mu     sync.Mutex
	flow   chan struct{}     // guarded by mu; closed while nothing is held back
	open   map[net.Conn]bool // guarded by mu
	closed bool              // guarded by mu
}

func newDetour(broker string) (*detour, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	d := &detour{listener: l, broker: broker, flow: make(chan struct{}), open: map[net.Conn]bool{}}
	close(d.flow)
	d.work.Go(d.accept)
	return d, nil
}

// addr is host:port of the detour.
func (d *detour) addr() string { return d.listener.Addr().String() }

func (d *detour) accept() {
	for {
		from, err := d.listener.Accept()
		if err != nil {
			return
		}
		to, err := net.Dial("tcp", d.broker)
		if err != nil {
			_ = from.Close()
			continue
		}
		if !d.keep(from, to) {
			return
		}
		d.work.Go(func() { d.pass(to, from, true) })
		d.work.Go(func() { d.pass(from, to, false) })
	}
}

// keep remembers connections, so that cut ends them. It returns false after close.
func (d *detour) keep(conns ...net.Conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range conns {
		d.open[c] = true
		if d.closed {
			_ = c.Close()
		}
	}
	return !d.closed
}

// pass copies one direction until either connection ends, and then ends both. Only what goes up, to
// the broker, can be held back.
func (d *detour) pass(to, from net.Conn, up bool) {
	defer func() {
		_, _ = to.Close(), from.Close()
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.open, to)
		delete(d.open, from)
	}()
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
		if up {
			d.mu.Lock()
			flow := d.flow
			d.mu.Unlock()
			<-flow
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// hold holds back what goes up from now on, until the function that it returns is called. That may
// be called twice. Only one hold may be under way.
func (d *detour) hold() (release func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	flow := make(chan struct{})
	d.flow = flow
	return sync.OnceFunc(func() { close(flow) })
}

// cut ends all connections.
func (d *detour) cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for c := range d.open {
		_ = c.Close()
	}
}

// close ends the detour. Nothing may be held back any more.
func (d *detour) close() {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	_ = d.listener.Close()
	d.cut()
	d.work.Wait()
}
