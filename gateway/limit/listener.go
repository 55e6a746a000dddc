package limit

import (
	"context"
	"crypto/tls"
	"net"
	"slices"
	"sync"
	"time"
)

// Connections are a listener's bounds. All of them are required, but for the rates.
type Connections struct {
	All      int // at a time
	EachAddr int // at a time, of one address
	// Known and EachKnown are how many connections on which somebody is signed in, in all and of
	// one account, are kept when room is needed. With more, those that were known first are as a
	// stranger's again. Known is less than All, so that strangers have room.
	Known, EachKnown int
	// Idle is how long a stranger's connection may be without a request under way, the handshake
	// included.
	Idle time.Duration
	// Rate and EachRate bound new connections a second, in all and of one address; twice as many
	// may come at once. A connection on which somebody is signed in counts for the account instead,
	// as far as that may have as many as an address. 0: not bounded.
	Rate, EachRate int
	// Pace is how many bytes a second are read of a stranger's connection; Burst of them may come
	// at once, which is enough for a handshake, a page and a form. It bounds what weighs little and
	// costs much, as requests that are taken back at once. 0: not bounded.
	Burst, Pace int
}

// Listener accepts connections within bounds. It never makes its caller wait for room: a stranger's
// connection makes room for the new one, the oldest of the address that has the most of them. So
// who comes from elsewhere gets in, and who fills the listener throws out himself.
type Listener struct {
	net.Listener
	bounds Connections
	// Known, if set before the first connection, hears which account a connection is kept for from
	// now on. It must not block.
	Known func(c net.Conn, account string)

	mu    sync.Mutex
	open  []*conn // guarded by mu; in the order in which they came
	known []*conn // guarded by mu; those that are kept, in the order in which they became so
	rates rates   // guarded by mu
}

// NewListener returns a listener that takes its connections from l.
func NewListener(l net.Listener, b Connections) *Listener {
	return &Listener{Listener: l, bounds: b, rates: rates{all: b.Rate, each: b.EachRate}}
}

// conn is a connection with what is known of it.
type conn struct {
	net.Conn
	of   *Listener
	addr string
	idle *time.Timer // runs while a stranger's connection has no request under way
	gone sync.Once
	err  error // of closing; guarded by gone
	in   paced // used by whoever reads

	// Guarded by of.mu.
	account string // who is signed in, while the connection is kept for that; empty: a stranger's
	counted bool   // it has taken from the rate
	active  int    // requests under way
	strange int    // requests of strangers so far
}

// maxStrange is how many requests of strangers a connection may have; with the next it is closed.
// So who asks for much, takes it back at once or never reads it, is bounded by the rate of
// connections.
const maxStrange = 200

// Read reads no more of a stranger's connection than its pace allows, and waits for that.
func (c *conn) Read(p []byte) (int, error) {
	c.of.mu.Lock()
	stranger := c.account == ""
	c.of.mu.Unlock()
	if pace := c.of.bounds.Pace; stranger && pace > 0 {
		wait, most := c.in.next(time.Now(), c.of.bounds.Burst, pace)
		time.Sleep(wait) // a deadline meanwhile is late by as much, an eighth of a second at most
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

// admit lists a connection, and takes another off the list if that is what makes room.
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

// crowded is the address that has the most strangers' connections, empty if there is none. The
// caller holds mu.
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

// oldest is the oldest stranger's connection of an address, or of all where addr is empty; without
// one, the oldest on which nothing is under way, or nil. The caller holds mu.
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

// remove takes a connection off the lists. The caller holds mu.
func (l *Listener) remove(c *conn) {
	is := func(o *conn) bool { return o == c }
	l.open = slices.DeleteFunc(l.open, is)
	l.known = slices.DeleteFunc(l.known, is)
	if c.idle != nil {
		c.idle.Stop()
	}
}

// ConnContext is for [http.Server.ConnContext]: with it [Handler] finds the connection of a
// request.
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

// NetConn is the connection itself.
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

// expire closes a stranger's connection that has been idle for its time.
func (c *conn) expire() {
	c.of.mu.Lock()
	over := c.active == 0 && c.account == ""
	c.of.mu.Unlock()
	if over {
		_ = c.Close()
	}
}

// begin notes that a request is under way: a stranger's, until its account is known. The connection
// of a request may be nil.
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
		go func() { _ = c.Close() }() // which takes the lock
	}
}

// KeepFor notes that an account is signed in on a connection that Accept has returned. It is for a
// listener whose connections are served elsewhere.
func (l *Listener) KeepFor(c net.Conn, account string) {
	if own, ok := c.(*conn); ok {
		own.know(account)
	}
}

// know notes that a request is of a signed-in account.
func (c *conn) know(account string) {
	if c == nil || account == "" {
		return
	}
	if c.noteKnown(account) && c.of.Known != nil {
		c.of.Known(c.Conn, account)
	}
}

// noteKnown tells whether the connection was another's before.
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

// keep makes a connection one of those that are kept. The caller holds mu.
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

// end is for each begin.
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
