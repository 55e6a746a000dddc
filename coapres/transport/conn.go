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

	"github.com/plgd-dev/go-coap/v3/dtls/server"
	coap "github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/message/pool"
	coapNet "github.com/plgd-dev/go-coap/v3/net"
	"github.com/plgd-dev/go-coap/v3/net/responsewriter"
	"github.com/plgd-dev/go-coap/v3/options/config"
	"github.com/plgd-dev/go-coap/v3/udp/client"

	"latchkey/coapres/transport/message"
)

// Handler answers one request of a peer. It fills resp and must set its code. at is when the
// datagram was read. It runs in a goroutine of its own and may wait; other messages of the same
// connection are handled meanwhile. The messages are only valid during the call.
type Handler func(c *Conn, req, resp *pool.Message, at time.Time)

// Conn is one live association behind CoAP. It is a net.Conn, so that go-coap's server can take it
// from [Listener.AcceptWithContext].
type Conn struct {
	*exchange
	identity  string
	number    uint64
	remote    stableAddr
	cc        *client.Conn
	node      *nodeEnd // nil at the gateway's end
	peer      any
	work      work
	moved     func(*Conn)                          // may be nil
	refused   func(c *Conn, code byte, why string) // may be nil
	logUnsent func(error)
	moves     atomic.Int64  // not yet reported to moved
	ping      uint16        // used by the reading goroutine; the last one that pingNewAddress sent
	read      int64         // used by the reading goroutine; requests that go-coap was given
	begun     atomic.Int64  // how many of them go-coap has passed to a handler
	begins    chan struct{} // signalled when begun grows
	done      chan struct{}
}

// work counts the messages of one association that are being handled.
type work struct {
	mu   sync.Mutex
	over bool           // guarded by mu; nothing may begin any more
	wg   sync.WaitGroup // grows only under mu, while not over
}

func (w *work) begin(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.over {
		w.wg.Go(f)
	}
}

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

// messages is go-coap's own pool; sharing one keeps idle connections small.
var messages = pool.New(256, 2048)

func newConn(c net.Conn, number uint64, identity string, idle time.Duration) *Conn {
	return &Conn{
		exchange: newExchange(c, idle),
		identity: identity,
		begins:   make(chan struct{}, 1),
		done:     make(chan struct{}),
		number:   number,
		remote:   stableAddr(fmt.Sprintf("%s#%d", c.RemoteAddr(), number)),
	}
}

// Identity returns the PSK identity whose key opened this association, proven by the handshake.
func (c *Conn) Identity() string { return c.identity }

// Home returns the other side's last proven address: one that answered what was sent there.
func (c *Conn) Home() netip.AddrPort {
	if e, ok := c.exchange.Conn.(established); ok {
		e.association.mu.Lock()
		defer e.association.mu.Unlock()
		return e.home
	}
	return netip.AddrPort{}
}

// SetPeer stores what the layer above knows of the other side. It may be called once, before the
// first message is read.
func (c *Conn) SetPeer(p any) { c.peer = p }

// Peer returns the value given to SetPeer.
func (c *Conn) Peer() any { return c.peer }

// Number returns the association's number. Numbers grow in the order in which handshakes began.
func (c *Conn) Number() uint64 { return c.number }

// RemoteAddr names this association: its first address, and a number that is never used again.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// start puts go-coap above the connection. It must be called once, before serve or Do.
func (c *Conn) start(ctx context.Context, h Handler, log *slog.Logger) {
	cfg := client.DefaultConfig
	cfg.Common = config.NewCommon[*client.Conn]()
	c.logUnsent = func(err error) { log.Debug("message not sent", "addr", c.remote.String(), "err", err) }
	cfg.Errors = c.logUnsent // by default go-coap prints them to standard output
	cfg.MessagePool = messages
	cfg.ReceivedMessageQueueSize = message.MaxInFlight
	cfg.LimitClientParallelRequests = 16
	cfg.LimitClientEndpointParallelRequests = 16
	// Our own message layer retransmits. NSTART (RFC 7252 §4.7) is 2, so that a command need not
	// wait behind a read.
	cfg.TransmissionNStart = 2
	cfg.TransmissionAcknowledgeTimeout = message.ExchangeLife
	cfg.TransmissionMaxRetransmit = 1
	cfg.GetToken = func() (coap.Token, error) { return c.exchange.makeToken(), nil }
	cfg.ProcessReceivedMessage = func(m *pool.Message, cc *client.Conn,
		match config.HandlerFunc[*client.Conn]) {
		// go-coap would look for a request's token among those of our own requests. But each side
		// chooses its own tokens (RFC 7252 §5.3.1), so requests bypass that.
		if isRequest(m) {
			match = func(w *responsewriter.ResponseWriter[*client.Conn],
				req *pool.Message) {
				c.answerRequest(h, req, w.Message())
			}
			c.work.begin(func() { cc.ProcessReceivedMessageWithHandler(m, match) }) // at most message.MaxInFlight
			c.begun.Add(1)
			select {
			case c.begins <- struct{}{}:
			default:
			}
			return
		}
		// This passes a response to the waiting call and does not block.
		cc.ProcessReceivedMessageWithHandler(m, match)
	}
	// A response that nobody waits for any more.
	cfg.Handler = func(*responsewriter.ResponseWriter[*client.Conn], *pool.Message) {}
	s := server.NewSession(ctx, coapNet.NewConn(c), message.MaxSize, message.MaxSize, true)
	c.exchange.moved = c.pingNewAddress
	if c.refused != nil {
		c.exchange.refused = func(code byte, why string) { c.refused(c, code, why) }
	}
	c.cc = client.NewConnWithOpts(s, &cfg, client.WithResponseMessageCache(noCache{}))
}

func isRequest(m *pool.Message) bool { return m.Code() > 0 && m.Code() < 32 }

// Read reads from the exchange. go-coap drops its queue when the association's context ends. So at
// the end Read first waits until go-coap has passed on all earlier requests.
func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.exchange.Read(b)
	if err == nil && n > 1 && b[1] > 0 && b[1] < 32 {
		c.read++
	}
	for err != nil && c.begun.Load() < c.read {
		select {
		case <-c.begins:
		case <-c.Context().Done():
			return n, err
		}
	}
	return n, err
}

// Write writes to the exchange. An answer that cannot be sent, mostly because the other side has
// left, counts as a lost datagram. If Write returned the error, go-coap would end the association
// and drop messages that are still queued.
func (c *Conn) Write(b []byte) (int, error) {
	n, err := c.exchange.Write(b)
	if err != nil && len(b) > 1 && b[1]>>5 >= 2 {
		c.logUnsent(err)
		return len(b), nil
	}
	return n, err
}

// answerRequest lets h fill the response to a request. It is piggybacked on the ACK of a
// confirmable request, and non-confirmable otherwise (RFC 7252 §5.2).
func (c *Conn) answerRequest(h Handler, req, resp *pool.Message) {
	at, ok := c.findArrival(uint16(req.MessageID()), req.Token())
	if !ok {
		return
	}
	resp.SetToken(req.Token())
	if resp.SetCode(codes.NotFound); h != nil {
		h(c, req, resp, at)
	}
	resp.SetType(coap.NonConfirmable)
	resp.SetMessageID(c.cc.GetMessageID())
	if req.Type() == coap.Confirmable {
		resp.SetType(coap.Acknowledgement)
		resp.SetMessageID(req.MessageID())
	}
}

// serve reads messages until the association ends. It must be followed by finish.
func (c *Conn) serve() error { return c.cc.Run() }

// finish waits until an association that has ended has closed its socket and its handlers have
// returned.
func (c *Conn) finish() {
	_ = c.exchange.Close()                      // somebody else's Close may still be running
	_ = c.exchange.SetReadDeadline(time.Time{}) // otherwise pion keeps a timer for the idle time
	c.work.end()
	close(c.done)
}

// Context returns a context that ends with the association.
func (c *Conn) Context() context.Context { return c.cc.Context() }

// Done returns a channel that is closed when the association has ended and its last handler has
// returned.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Do sends a confirmable request and waits for its answer. It retransmits at intervals that the
// round trip suggests, until the request's context ends or the other side answers with a Reset. The
// context must have a deadline. The answer belongs to the caller.
func (c *Conn) Do(req *pool.Message) (*pool.Message, error) {
	if _, ok := req.Context().Deadline(); !ok {
		return nil, fmt.Errorf("transport: request without a deadline")
	}
	req.SetToken(c.exchange.makeToken())
	req.SetType(coap.Confirmable)
	req.SetMessageID(c.cc.GetMessageID())
	mid := uint16(req.MessageID())
	ctx, cancel := context.WithCancelCause(req.Context())
	defer cancel(nil)
	c.awaitReset(mid, cancel)
	defer c.forgetRequest(mid)
	req.SetContext(ctx)
	a, err := c.cc.Do(req)
	if err != nil && context.Cause(ctx) == errReset {
		err = fmt.Errorf("transport: %w", errReset)
	}
	return a, err
}

// pingNewAddress pings the other side at its new address (RFC 7252 §4.3). Whoever answers with a
// Reset has the keys and receives what we send there. If the node moves again before it answers,
// only the newest address is pinged.
func (c *Conn) pingNewAddress() {
	c.exchange.forgetPing(c.ping)
	c.ping = uint16(c.cc.GetMessageID())
	_ = c.exchange.sendPing(c.ping, 0) // if the connection is gone, Read returns the error
	if c.moved != nil && c.moves.Add(1) == 1 {
		c.work.begin(c.reportMoves)
	}
}

// reportMoves reports moves to c.moved, at most once a second.
func (c *Conn) reportMoves() {
	for {
		n := c.moves.Load()
		c.moved(c)
		if c.moves.CompareAndSwap(n, 0) {
			return
		}
		select {
		case <-time.After(time.Second):
		case <-c.Context().Done():
			return
		}
	}
}

// End closes the association with a close_notify. Messages that came before are handled first, and
// then its context ends.
func (c *Conn) End() error {
	if e, ok := c.exchange.Conn.(established); ok {
		e.drainQueue()
	}
	return c.exchange.Close()
}

// noCache caches nothing: exchange answers repeated requests.
type noCache struct{}

func (noCache) Load(string, *pool.Message) (bool, error) { return false, nil }
func (noCache) Store(string, *pool.Message) error        { return nil }
func (noCache) CheckExpirations(time.Time)               {}
