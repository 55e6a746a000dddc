package limit

import (
	"context"
	"crypto/tls"
	"net"
	"slices"
	"sync"
	"time"
)

// Connections are a listener's bounds. All but the rates are required.
type Connections struct {
	All      int // at one time
	EachAddr int // at one time, of one address
	// Known and EachKnown are how many connections on which somebody is signed in are kept when
	// room is needed, in all and for one account. Beyond that the oldest of them count as a
	// stranger's again. Known is less than All, so that strangers have room.
	Known, EachKnown int
	// Idle is how long a stranger's connection may be idle: without a request under way. The
	// handshake counts as idle.
	Idle time.Duration
	// Rate and EachRate bound the new connections per second, in all and of one address. Twice as
	// many may come at once; 0 means no bound. When somebody signs in on a connection it counts for
	// the account instead of the address, within the same rate.
	Rate, EachRate int
	// Pace is how many bytes per second are read from a stranger's connection. Burst may come at
	// once, which is enough for a handshake, a page and a form. It bounds small but costly input,
	// such as requests that are cancelled at once. 0 means no bound.
	Burst, Pace int
}

// Listener accepts connections within bounds. It never waits for room: it evicts a stranger's
// connection, the oldest of the address that has the most. So visitors from other addresses get in,
// and whoever fills the listener evicts his own connections.
type Listener struct {
	net.Listener
	bounds Connections
	// Known, if set before the first connection, is called when a connection is kept for an
	// account. It must not block.
	Known func(c net.Conn, account string)

	mu    sync.Mutex
	open  []*conn // guarded by mu; oldest first
	known []*conn // guarded by mu; connections that are kept, oldest sign-in first
	rates rates   // guarded by mu
}

// NewListener returns a listener that accepts connections from l.
func NewListener(l net.Listener, b Connections) *Listener {
	return &Listener{Listener: l, bounds: b, rates: rates{all: b.Rate, each: b.EachRate}}
}

// conn is a connection with what is known of it.
type conn struct {
	net.Conn
	of   *Listener
	addr string
	idle *time.Timer // runs while a stranger's connection is idle
	gone sync.Once
	err  error // of closing; guarded by gone
	in   paced // used by the reader only

	// Guarded by of.mu.
	account string // the account that the connection is kept for; empty: a stranger's
	counted bool   // it was counted against the rate
	active  int    // requests under way
	strange int    // requests of strangers so far
}

// maxStrange is how many requests of strangers a connection may have; the next one closes it. So
// somebody who sends many requests and cancels them or never reads the answers is bounded by the
// rate of connections.
const maxStrange = 200

// Read reads a stranger's connection no faster than its pace.
func (c *conn) Read(p []byte) (int, error) {
	c.of.mu.Lock()
	stranger := c.account == ""
	c.of.mu.Unlock()
	if pace := c.of.bounds.Pace; stranger && pace > 0 {
		wait, most := c.in.next(time.Now(), c.of.bounds.Burst, pace)
		time.Sleep(wait) // delays a deadline by an eighth of a second at most
		p = p[:min(len(p), most)]
	}
	n, err := c.Conn.Read(p)
	c.in.took(n)
	return n, err
}

// Accept returns the next connection for which there is room.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		own := &conn{Conn: c, of: l, addr: AddrOf(c.RemoteAddr().String()), counted: true}
		victim, ok := l.admit(own, time.Now())
		if victim != nil {
			_ = victim.Close()
		}
		if ok {
			return own, nil
		}
		_ = c.Close()
	}
}

// admit adds a connection to the list. victim is one that it removed to make room.
func (l *Listener) admit(c *conn, now time.Time) (victim *conn, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.rates.allow(c.addr, now) {
		return nil, false
	}
	here := 0
	for _, o := range l.open {
		if o.addr == c.addr {
			here++
		}
	}
	switch {
	case here >= l.bounds.EachAddr:
		victim = l.oldest(c.addr)
	case len(l.open) >= l.bounds.All:
		victim = l.oldest(l.crowded())
	}
	if victim == nil && (here >= l.bounds.EachAddr || len(l.open) >= l.bounds.All) {
		return nil, false
	}
	if victim != nil {
		l.remove(victim)
	}
	l.open = append(l.open, c)
	c.idle = time.AfterFunc(l.bounds.Idle, c.expire)
	return victim, true
}

// crowded returns the address that has the most strangers' connections, or nothing. The caller
// holds mu.
func (l *Listener) crowded() (addr string) {
	n := map[string]int{}
	for _, c := range l.open {
		if c.account != "" {
			continue
		}
		if n[c.addr]++; n[c.addr] > n[addr] {
			addr = c.addr
		}
	}
	return addr
}

// oldest returns the oldest stranger's connection of an address, or of all addresses if addr is
// empty. If there is none it returns the oldest connection without a request under way, or nil. The
// caller holds mu.
func (l *Listener) oldest(addr string) (spare *conn) {
	for _, c := range l.open {
		switch {
		case addr != "" && c.addr != addr:
		case c.account == "":
			return c
		case c.active == 0 && spare == nil:
			spare = c
		}
	}
	return spare
}

// remove removes a connection from the lists. The caller holds mu.
func (l *Listener) remove(c *conn) {
	is := func(o *conn) bool { return o == c }
	l.open = slices.DeleteFunc(l.open, is)
	l.known = slices.DeleteFunc(l.known, is)
	if c.idle != nil {
		c.idle.Stop()
	}
}

// ConnContext is for [http.Server.ConnContext]. With it the handler of [NewHandler] finds the
// connection of a request.
func (l *Listener) ConnContext(ctx context.Context, c net.Conn) context.Context {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if own, ok := c.(*conn); ok {
		return context.WithValue(ctx, connKey{}, own)
	}
	return ctx
}

type connKey struct{}

func connOf(ctx context.Context) *conn {
	c, _ := ctx.Value(connKey{}).(*conn)
	return c
}

// NetConn returns the wrapped connection.
func (c *conn) NetConn() net.Conn { return c.Conn }

func (c *conn) Close() error {
	c.gone.Do(func() {
		c.of.mu.Lock()
		c.of.remove(c)
		c.of.mu.Unlock()
		c.err = c.Conn.Close()
	})
	return c.err
}

// expire closes a stranger's connection that has been idle for too long.
func (c *conn) expire() {
	c.of.mu.Lock()
	over := c.active == 0 && c.account == ""
	c.of.mu.Unlock()
	if over {
		_ = c.Close()
	}
}

// begin records that a request is under way. It counts as a stranger's until its account is known.
// c may be nil.
func (c *conn) begin() {
	if c == nil {
		return
	}
	l := c.of
	l.mu.Lock()
	defer l.mu.Unlock()
	c.active++
	c.idle.Stop()
	if c.account != "" {
		return
	}
	if c.strange++; c.strange > maxStrange {
		go func() { _ = c.Close() }() // Close takes the lock
	}
}

// KeepFor records that an account is signed in on a connection from Accept. It is for a listener
// whose connections another process serves.
func (l *Listener) KeepFor(c net.Conn, account string) {
	if own, ok := c.(*conn); ok {
		own.know(account)
	}
}

// know records that a request is from a signed-in account.
func (c *conn) know(account string) {
	if c == nil || account == "" {
		return
	}
	if c.noteKnown(account) && c.of.Known != nil {
		c.of.Known(c.Conn, account)
	}
}

// noteKnown records the account, and tells whether that is a change.
func (c *conn) noteKnown(account string) (changed bool) {
	l := c.of
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Contains(l.open, c) { // closed meanwhile
		return false
	}
	if c.counted {
		c.counted = false
		l.rates.move(c.addr, "account "+account, time.Now())
	}
	changed = c.account != account
	if changed {
		l.keep(c, account)
	}
	return changed
}

// keep keeps a connection for an account. The caller holds mu.
func (l *Listener) keep(c *conn, account string) {
	l.known = slices.DeleteFunc(l.known, func(o *conn) bool { return o == c })
	c.account, c.strange = account, 0
	l.known = append(l.known, c)
	var first *conn // of the account's
	n := 0
	for _, o := range l.known {
		if o.account != account {
			continue
		}
		if n++; first == nil {
			first = o
		}
	}
	switch {
	case n > l.bounds.EachKnown:
	case len(l.known) > l.bounds.Known:
		first = l.known[0]
	default:
		return
	}
	first.account = ""
	l.known = slices.DeleteFunc(l.known, func(o *conn) bool { return o == first })
	if first.active == 0 {
		first.idle.Reset(l.bounds.Idle)
	}
}

// end records that a request has ended. Call it once for each begin.
func (c *conn) end() {
	if c == nil {
		return
	}
	l := c.of
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.active--; c.active == 0 && c.account == "" && slices.Contains(l.open, c) {
		c.idle.Reset(l.bounds.Idle)
	}
}
