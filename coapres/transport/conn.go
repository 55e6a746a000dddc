package transport

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/plgd-dev/go-coap/v3/message/pool"

	"latchkey/coapres/transport/message"
	"latchkey/coapres/transport/workers"
)

// Handler answers one request of a peer. It fills resp and must set its code. at is when the
// datagram was read. It may wait; other messages, of the same connection too, are handled meanwhile.
// The messages are only valid during the call.
type Handler func(c *Conn, req, resp *pool.Message, at time.Time)

// Conn is CoAP on one live association: [message.Exchange] with a lock, a timer, and the calls that
// wait.
type Conn struct {
	link     link
	identity string
	number   uint64
	remote   stableAddr
	node     *nodeEnd // nil at the gateway's end
	peer     any
	handler  Handler
	log      *slog.Logger
	began    time.Time
	ctx      context.Context //nolint:containedctx // it ends with the association, not with a caller
	cancel   context.CancelFunc
	close    sync.Once
	closed   func(*Conn) // set before opened; may be nil
	note     []byte      // see Resumed
	saved    bool        // set before closed is called; see Saved
	shared   *shared     // set before the first message is received
	work     work
	path     uint32       // used by receive; the last one
	ping     uint16       // the same; the last one that pingNewAddress sent
	moves    atomic.Int64 // not yet reported to moved
	heard    atomic.Int64 // when the last message was read: ns since began

	mu       sync.Mutex
	exchange message.Exchange // guarded by mu
	opened   latch            // guarded by mu; messages are handled as they come, or never will be
	done     latch            // guarded by mu
	over     bool             // guarded by mu; nothing is retransmitted any more
	started  bool             // guarded by mu; opened will be closed
	gone     func()           // guarded by mu; called after done is closed, if started; may be nil
	timer    *time.Timer      // guarded by mu; retransmits; nil until it is needed
	timerAt  time.Time        // guarded by mu; when it fires, or zero
	calls    []*call          // guarded by mu; at most maxCalls
	unacked  int              // guarded by mu; calls that wait for their ACK, at most nstart
	turns    []chan struct{}  // guarded by mu; calls that wait for room, in their order
}

// shared is what all associations of one listener have in common.
type shared struct {
	pool    *workers.Pool[request]
	dropped func()                               // a request was lost because no worker was free; may be nil
	moved   func(*Conn)                          // may be nil
	refused func(c *Conn, code byte, why string) // may be nil
}

// latch is a channel that is closed once. It has no channel until somebody waits, because most
// sessions only idle. Its user locks.
type latch struct {
	closed bool
	c      chan struct{}
}

// alwaysClosed is the channel of each latch that was closed before anybody waited.
var alwaysClosed = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

func (l *latch) channel() <-chan struct{} {
	switch {
	case l.c != nil:
	case l.closed:
		l.c = alwaysClosed
	default:
		l.c = make(chan struct{})
	}
	return l.c
}

func (l *latch) close() {
	if l.closed = true; l.c != nil {
		close(l.c)
	}
}

// link carries the messages of one association. It gives each message that comes to
// [Conn.receive], one at a time.
type link interface {
	Queue(m []byte) error // one message, which may wait for Flush
	Flush()
	Close() error // ends the association
	RemoteAddr() net.Addr
	Home() netip.AddrPort
	Path() uint32   // grows with each change of the other side's address
	Prove(n uint32) // something sent on path n was answered
}

// fixed is the other side of a link whose address never changes.
type fixed struct{}

func (fixed) Home() netip.AddrPort { return netip.AddrPort{} }
func (fixed) Path() uint32         { return 0 }
func (fixed) Prove(uint32)         {}
func (fixed) Flush()               {}

// work counts the messages of one association that are being handled.
type work struct {
	mu   sync.Mutex
	over bool           // guarded by mu; nothing may begin any more
	wg   sync.WaitGroup // grows only under mu, while not over
}

// begin tells whether something may begin. Then leave must follow.
func (w *work) begin() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.over {
		w.wg.Add(1)
	}
	return !w.over
}

func (w *work) leave() { w.wg.Done() }

func (w *work) end() {
	w.mu.Lock()
	w.over = true
	w.mu.Unlock()
	w.wg.Wait()
}

// stableAddr is unique and does not change when the node's address does.
type stableAddr string

func (stableAddr) Network() string  { return "udp" }
func (a stableAddr) String() string { return string(a) }

var connNumber atomic.Uint64

func newConn(l link, number uint64, identity string) *Conn {
	c := &Conn{link: l, identity: identity, number: number, began: time.Now(),
		remote:   stableAddr(fmt.Sprintf("%s#%d", l.RemoteAddr(), number)),
		exchange: message.NewExchange()}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// Identity returns the PSK identity whose key opened this association, proven by the handshake.
func (c *Conn) Identity() string { return c.identity }

// Home returns the other side's last proven address: one that answered what was sent there.
func (c *Conn) Home() netip.AddrPort { return c.link.Home() }

// Path returns a number that grows when the other side's address changes. Only an answer to
// something sent there proves the new address.
func (c *Conn) Path() uint32 { return c.link.Path() }

// LastHeard returns when the other side's newest message of any kind was read, or when the
// association began.
func (c *Conn) LastHeard() time.Time { return c.began.Add(time.Duration(c.heard.Load())) }

// SetPeer stores what the layer above knows of the other side. It may be called once, before the
// first message is read.
func (c *Conn) SetPeer(p any) { c.peer = p }

// Peer returns the value given to SetPeer.
func (c *Conn) Peer() any { return c.peer }

// Number returns the association's number. Numbers grow in the order in which handshakes began.
func (c *Conn) Number() uint64 { return c.number }

// RemoteAddr names this association: its first address, and a number that is never used again.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// Context returns a context that ends with the association.
func (c *Conn) Context() context.Context { return c.ctx }

// Done returns a channel that is closed when the association has ended and its last handler has
// returned.
func (c *Conn) Done() <-chan struct{} { return c.await(&c.done) }

// await returns the channel of a latch of c.
func (c *Conn) await(l *latch) <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return l.channel()
}

// start must be called once, before the first message is received and before Do. If ok, open must
// follow, and gone is called when all is over; otherwise the association has already ended. h and
// gone may be nil.
func (c *Conn) start(h Handler, log *slog.Logger, gone func()) (ok bool) {
	c.handler, c.log = h, log
	if c.shared == nil { // a node's end
		c.shared = &shared{pool: workers.New(message.MaxInFlight, 0, request.answer, func() {})}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.started, c.gone = !c.over, gone
	return c.started
}

// hasStarted tells whether messages are handled, or soon will be.
func (c *Conn) hasStarted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.started
}

// open says that messages are handled from now on, as they come. closed, which may be nil, is called
// once after the association's end, while handlers may still run.
func (c *Conn) open(closed func(*Conn)) {
	c.closed = closed
	c.mu.Lock()
	c.opened.close()
	c.mu.Unlock()
}

// receive handles one message that was read at that time.
func (c *Conn) receive(m []byte, at time.Time) {
	c.heard.Store(int64(at.Sub(c.began)))
	if p := c.link.Path(); p != c.path {
		c.path = p
		c.pingNewAddress()
	}
	c.mu.Lock()
	r := c.exchange.Receive(m, at)
	c.mu.Unlock()
	if r.Proves {
		c.link.Prove(r.Path) // before anybody acts on the answer
	}
	if r.Why != "" && c.shared.refused != nil {
		c.shared.refused(c, r.Reply[1], r.Why)
	}
	switch r.Kind {
	case message.Request:
		c.handle(m, at)
	case message.Response:
		c.settle(r, c.decode(m))
	case message.Acknowledged, message.Reset:
		c.settle(r, nil)
	}
	if r.Reply != nil {
		c.queue(r.Reply)
	}
}

// queue queues a message that nobody waits for. One that cannot be sent, mostly because the other side
// has left, is lost as a datagram is.
func (c *Conn) queue(m []byte) {
	if err := c.link.Queue(m); err != nil {
		c.log.Debug("message not sent", "addr", c.remote.String(), "err", err)
	}
}

// write sends a message.
func (c *Conn) write(m []byte) error {
	err := c.link.Queue(m)
	c.link.Flush()
	return err
}

// sweep frees what an idle association does not need any more.
func (c *Conn) sweep(now time.Time) {
	c.mu.Lock()
	c.exchange.Sweep(now)
	c.mu.Unlock()
}

// setTimer sets the timer to the next retransmission. The caller holds c.mu.
func (c *Conn) setTimer() {
	if c.over {
		c.exchange.Clear()
	}
	due := c.exchange.Due()
	switch {
	case due.IsZero() || !c.timerAt.IsZero() && !due.Before(c.timerAt): // it fires in time
		return
	case c.timer == nil:
		c.timer = time.AfterFunc(time.Until(due), c.retransmit)
	default:
		c.timer.Reset(time.Until(due))
	}
	c.timerAt = due
}

// retransmit sends what is due.
func (c *Conn) retransmit() {
	c.mu.Lock()
	c.timerAt = time.Time{}
	again := c.exchange.Retransmit(time.Now())
	c.setTimer()
	c.mu.Unlock()
	for _, b := range again {
		c.queue(b)
	}
	c.link.Flush()
}

// pingNewAddress pings the other side at its new address. Whoever answers with a Reset has the keys
// and receives what we send there. If the node moves again before it answers, only the newest
// address is pinged.
func (c *Conn) pingNewAddress() {
	c.mu.Lock()
	c.exchange.ForgetPing(c.ping)
	b, id := c.exchange.Ping(c.link.Path(), 0, time.Now())
	c.ping = id
	c.setTimer()
	c.mu.Unlock()
	c.queue(b)
	if c.shared.moved != nil && c.moves.Add(1) == 1 {
		if c.work.begin() {
			go c.reportMoves()
		}
	}
}

// reportMoves reports moves to moved, at most once a second.
func (c *Conn) reportMoves() {
	defer c.work.leave()
	for {
		n := c.moves.Load()
		c.shared.moved(c)
		if c.moves.CompareAndSwap(n, 0) {
			return
		}
		select {
		case <-time.After(time.Second):
		case <-c.ctx.Done():
			return
		}
	}
}

// End closes the association with a close_notify. Messages that came before are handled first, and
// then its context ends.
func (c *Conn) End() error {
	select {
	case <-c.await(&c.opened):
	case <-c.ctx.Done():
	}
	return c.Close()
}

// Close ends the association with a close_notify, and its context. Twice is harmless.
func (c *Conn) Close() error { return c.shut(c.link.Close) }

// shut ends messages, then the association by end, and then its context, unless that was done.
func (c *Conn) shut(end func() error) (err error) {
	c.close.Do(func() {
		c.mu.Lock()
		c.over = true
		c.exchange.Clear()
		if c.timer != nil {
			c.timer.Stop()
		}
		started, gone := c.started, c.gone
		c.mu.Unlock()
		err = end()
		c.cancel()
		go c.finish(started, gone)
	})
	return err
}

// finish tells of the end, and then waits for the handlers.
func (c *Conn) finish(started bool, gone func()) {
	if started {
		<-c.await(&c.opened)
		if c.closed != nil {
			c.closed(c)
		}
	}
	c.work.end()
	c.mu.Lock()
	c.done.close()
	c.mu.Unlock()
	if started && gone != nil {
		gone()
	}
}
