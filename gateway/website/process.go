package website

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/time/rate"
)

// child is one process of the website.
type child struct {
	s       *Server
	cmd     *exec.Cmd
	control *control
	api     *net.UnixConn
	lines   *lines
	ready   chan struct{}
	ended   chan struct{} // closed when the process has ended
	heard   atomic.Uint64 // the number of the last ping that it answered
	given   certificates

	mu    sync.Mutex
	conns map[uint64]net.Conn // guarded by mu; the child's connections; nil once it has ended
	last  uint64              // guarded by mu; number of the last connection
	why   string              // guarded by mu; why we killed it
}

// certificates are the certificates that the child has. Used by the goroutine that passes
// connections.
type certificates struct{ plain, named *tls.Certificate }

// The memory limit of the child's Go runtime, which may exceed it. The kernel's limit is in
// confine.Bounds.
const memoryGoal = "GOMEMLIMIT=48MiB"

// Messages of the child per second. It sends two for a connection.
const (
	messageRate  = 2000
	messageBurst = 4000
)

// runChild starts a child and returns why it ended. When ctx ends it tells the child to stop, and
// kills it if it does not.
func (s *Server) runChild(ctx context.Context) (why string) {
	c, err := s.startChild()
	if err != nil {
		return err.Error()
	}
	var wg sync.WaitGroup
	over, cancel := context.WithCancel(context.Background())
	wg.Go(c.listen)
	wg.Go(func() { c.serveAPI(over) })
	wg.Go(func() { c.offer(over) })
	wg.Go(func() { c.watch(over) })
	select {
	case <-c.ended:
	case <-ctx.Done():
		c.stop()
	}
	cancel()
	_, _ = c.control.conn.Close(), c.api.Close()
	wg.Wait()
	c.drop()
	c.lines.close()
	s.mu.Lock()
	s.pid = 0
	s.mu.Unlock()
	return c.epitaph()
}

// startChild starts the process with its two sockets, a minimal environment, and none of our other
// descriptors.
func (s *Server) startChild() (*child, error) {
	controlSocket, theirControl, err := newPair(unix.SOCK_SEQPACKET)
	if err != nil {
		return nil, err
	}
	defer func() { _ = theirControl.Close() }()
	apiSocket, theirAPI, err := newPair(unix.SOCK_STREAM)
	if err != nil {
		return nil, errors.Join(err, controlSocket.Close())
	}
	defer func() { _ = theirAPI.Close() }()
	c := &child{s: s, cmd: s.cfg.Child(), control: &control{conn: controlSocket}, api: apiSocket,
		lines: &lines{log: s.cfg.Log, pace: s.pace},
		ready: make(chan struct{}), ended: make(chan struct{}), conns: map[uint64]net.Conn{}}
	c.cmd.Env = append([]string{memoryGoal, "GOTRACEBACK=single"}, s.cfg.Env...)
	if zone, ok := os.LookupEnv("TZ"); ok {
		c.cmd.Env = append(c.cmd.Env, "TZ="+zone)
	}
	c.cmd.Dir, c.cmd.Stderr, c.cmd.WaitDelay = "/", c.lines, time.Second
	c.cmd.ExtraFiles = []*os.File{theirControl, theirAPI}
	c.cmd.SysProcAttr = childAttributes()
	if err := c.start(); err != nil {
		return nil, errors.Join(fmt.Errorf("website: %w", err), controlSocket.Close(), apiSocket.Close())
	}
	s.mu.Lock()
	s.pid = c.cmd.Process.Pid
	s.mu.Unlock()
	return c, nil
}

// start starts the process from a thread that lives as long as the child: the kernel kills the
// child when the thread that started it ends.
func (c *child) start() error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := c.cmd.Start()
		started <- err
		if err == nil {
			_ = c.cmd.Wait() // ProcessState has it
			close(c.ended)
		}
	}()
	return <-started
}

// stop tells the child to end, and kills it if it does not.
func (c *child) stop() {
	_ = c.control.send(message{Kind: kindStop}, nil)
	select {
	case <-c.ended:
	case <-time.After(c.s.cfg.Grace):
		c.kill("it did not stop")
		<-c.ended
	}
}

// kill kills the child. The first reason is kept.
func (c *child) kill(why string) {
	c.mu.Lock()
	if c.why == "" {
		c.why = why
	}
	c.mu.Unlock()
	_ = c.cmd.Process.Kill()
}

// epitaph returns why the child has ended.
func (c *child) epitaph() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.why != "" {
		return c.why
	}
	how := c.cmd.ProcessState.String()
	if w, ok := c.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && w.Signaled() &&
		w.Signal() == syscall.SIGSYS {
		return "it asked the kernel for what no website needs: somebody may have taken it over (" + how + ")"
	}
	return how
}

// listen handles the child's messages.
func (c *child) listen() {
	pace := rate.NewLimiter(messageRate, messageBurst)
	buf := make([]byte, maxToParent)
	for {
		m, file, err := c.control.receive(buf)
		if file != nil {
			_ = file.Close() // no message of the child has a descriptor
		}
		if err != nil {
			why := "it sent what is no message: " + err.Error()
			if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, unix.ECONNRESET) {
				why = "" // it has ended, or was told to
			}
			c.kill(why)
			return
		}
		if !pace.Allow() {
			c.kill("it sent too many messages")
			return
		}
		if err := c.hear(m); err != nil {
			c.kill(err.Error())
			return
		}
	}
}

func (c *child) hear(m message) error {
	switch m.Kind {
	case kindReady:
		select {
		case <-c.ready:
			return errors.New("it was ready twice")
		default:
		}
		settings, err := c.s.settings()
		if err != nil {
			return err
		}
		if err := c.control.send(message{Kind: kindSettings, Settings: settings}, nil); err != nil {
			return err
		}
		close(c.ready)
	case kindUnfit:
		c.s.mu.Lock()
		c.s.unfit = cleanText(m.Why)
		c.s.mu.Unlock()
	case kindPong:
		c.heard.Store(m.ID)
	case kindDone:
		if conn := c.take(m.ID); conn != nil {
			_ = conn.Close()
		}
	case kindKnown:
		if conn := c.conn(m.ID); conn != nil {
			c.s.listener.KeepFor(conn, cleanText(m.Account))
		}
	default:
		return errors.New("it said what nobody understands")
	}
	return nil
}

// offer offers the child for connections while it is ready.
func (c *child) offer(ctx context.Context) {
	select {
	case <-c.ready:
	case <-ctx.Done():
		return
	}
	for {
		select {
		case c.s.fit <- c:
		case <-c.ended:
			return
		case <-ctx.Done():
			return
		}
	}
}

// watch pings the child and kills it if it does not answer: it may be stopped, or out of memory.
func (c *child) watch(ctx context.Context) {
	select {
	case <-c.ready:
	case <-ctx.Done():
		return
	case <-time.After(c.s.cfg.Hung):
		c.kill("it was not ready within " + c.s.cfg.Hung.String())
		return
	}
	t := time.NewTicker(c.s.cfg.Ping)
	defer t.Stop()
	asked := map[uint64]time.Time{}
	for n := uint64(1); ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-c.ended:
			return
		case now := <-t.C:
			if heard := c.heard.Load(); heard >= n {
				c.kill("it answered a ping that was never sent")
				return
			} else if at, ok := asked[heard+1]; ok && now.Sub(at) > c.s.cfg.Hung {
				c.kill("it did not answer for " + c.s.cfg.Hung.String())
				return
			} else {
				delete(asked, heard)
			}
			asked[n] = now
			if err := c.control.send(message{Kind: kindPing, ID: n}, nil); errors.Is(err,
				os.ErrDeadlineExceeded) {
				c.kill("it does not read what it is told")
				return
			}
		}
	}
}

// pass passes a connection to the child. If the child has ended it closes the connection.
func (c *child) pass(conn net.Conn) {
	if err := c.giveCertificates(conn); err != nil {
		c.s.cfg.Log.Error("website connection not served", "err", err)
		_ = conn.Close()
		return
	}
	c.mu.Lock()
	if c.conns == nil {
		c.mu.Unlock()
		_ = conn.Close()
		return
	}
	c.last++
	id := c.last
	c.conns[id] = conn
	c.mu.Unlock()
	err := c.control.send(message{Kind: kindConnection, ID: id}, heldOf(conn))
	if err == nil {
		return
	}
	_ = c.take(id)
	_ = conn.Close()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.kill("it does not take connections")
	}
}

// giveCertificates sends the child the certificates for the next connection, if they have changed.
func (c *child) giveCertificates(conn net.Conn) error {
	plain, name, named := c.s.cfg.Certificates.Leaves(addrOf(conn.LocalAddr()))
	if plain != c.given.plain {
		if err := c.giveCertificate("", plain); err != nil {
			return err
		}
		c.given.plain = plain
	}
	if named != nil && named != c.given.named {
		if err := c.giveCertificate(name, named); err != nil {
			return err
		}
		c.given.named = named
	}
	return nil
}

func (c *child) giveCertificate(name string, of *tls.Certificate) error {
	l, err := packLeaf(name, of)
	if err != nil {
		return err
	}
	return c.control.send(message{Kind: kindCertificate, Leaf: l}, nil)
}

// conn returns a connection of the child, or nil.
func (c *child) conn(id uint64) net.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conns[id]
}

// take removes a connection from the child's and returns it.
func (c *child) take(id uint64) net.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	conn := c.conns[id]
	delete(c.conns, id)
	return conn
}

// drop closes all connections of the child.
func (c *child) drop() {
	c.mu.Lock()
	all := c.conns
	c.conns = nil
	c.mu.Unlock()
	for _, conn := range all {
		_ = conn.Close()
	}
}

// addrOf returns the IP address of a TCP address.
func addrOf(a net.Addr) netip.Addr {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}
